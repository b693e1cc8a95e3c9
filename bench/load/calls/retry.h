#pragma once
// When to try a call again, and what its end means.
//
//   Retry retry(options, state);
//   do { status = Call(); } while (retry.Again(status, [&](auto pause) { connection.Pause(pause); }));
//   Certainty certainty = retry.CertaintyOf(status);
//
// Who must not wait asks PauseAfter instead, and comes back when the pause is over.
//
// Thread safety: one thread at a time.

#include <chrono>
#include <optional>

#include "bench/load/calls/client.h"
#include "google/rpc/status.pb.h"

namespace klatch::load {

// The same error as it stands in an item of a batch.
grpc::Status ToGrpcStatus(const google::rpc::Status& status);

// Whether the same call may succeed later.
bool MayHelpToRetry(const grpc::Status& status);
// Whether the node had too much to do.
bool IsOverload(const grpc::Status& status);
// Whether a call that ended so may have happened nevertheless.
bool MayHaveHappened(const grpc::Status& status);
// The server's hint; zero if it gave none.
std::chrono::milliseconds RetryAfter(const grpc::Status& status);

class Retry {
 public:
  Retry(const Client::Options& options, RunState& state);

  // How long to wait before the next try of a call that ended with `status`; nothing if it is not
  // worth another, if the time is over or if the run must stop.
  std::optional<std::chrono::milliseconds> PauseAfter(const grpc::Status& status);
  // Lets that time pass by `pause`. Whether there is to be another try.
  template <typename Pause>
  bool Again(const grpc::Status& status, const Pause& pause) {
    const std::optional<std::chrono::milliseconds> time = PauseAfter(status);
    if (time.has_value()) {
      pause(*time);
    }
    return time.has_value();
  }
  // REQUIRES: there is to be no other try after `status`.
  Certainty CertaintyOf(const grpc::Status& status) const;

 private:
  RunState& state_;
  const std::chrono::milliseconds retry_for_;
  const bool sheds_;
  const std::chrono::steady_clock::time_point end_;
  std::chrono::milliseconds next_pause_{10};
  bool may_have_happened_ = false;
};

}  // namespace klatch::load
