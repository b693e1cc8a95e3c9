#pragma once
// Waiting until this node has applied what was appended: tokens of reads, and removals, edits and
// deletions, which answer only when they are in force.
//
// Thread safety: any thread.

#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/failpoint.h"
#include "common/base/status.h"
#include "common/base/task.h"
#include "services/model/position.h"

namespace klatch {

class Barrier {
 public:
  virtual ~Barrier() = default;

  // After WaitApplied: returns when no watch can show any more what was taken away before. A
  // barrier of a node without watches has nothing to wait for.
  virtual base::Task<void> WaitWatches() { co_return; }

  // OK when all of `tokens` are applied; DEADLINE_EXCEEDED if `deadline` comes first; UNAVAILABLE
  // when the node stops.
  virtual base::Task<absl::Status> WaitApplied(std::vector<Token> tokens,
                                               base::MonotonicTime deadline) = 0;
};

// For what is committed already. Whatever ends the wait early, the caller must know that the change
// stands and that only its effect is pending: UNAVAILABLE with reason NOT_YET_IN_FORCE. A retry
// waits again.
inline base::Task<absl::Status> WaitInForce(Barrier& barrier, std::vector<Token> tokens,
                                            base::MonotonicTime deadline) {
  KLATCH_FAILPOINT("removal-appended");
  auto applying = barrier.WaitApplied(std::move(tokens), deadline);
  absl::Status status = co_await std::move(applying);
  if (status.ok()) {
    auto watches = barrier.WaitWatches();
    co_await std::move(watches);
    KLATCH_FAILPOINT("removal-in-force");
    co_return status;
  }
  absl::Status pending =
      base::Error(absl::StatusCode::kUnavailable,
                  "committed, not yet in force; repeat the call to wait again (" +
                      base::MessageOf(status) + ")");
  co_return base::WithReason(std::move(pending), "NOT_YET_IN_FORCE");
}
inline base::Task<absl::Status> WaitInForce(Barrier& barrier, Position position,
                                            base::MonotonicTime deadline) {
  return WaitInForce(barrier, std::vector<Token>(1, Token{position.shard(), position}), deadline);
}

}  // namespace klatch
