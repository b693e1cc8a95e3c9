#pragma once
// When to try a call again, and what its end means.
//
//   Retry retry(std::chrono::seconds(30), state, [&](auto pause) { connection.Pause(pause); });
//   do { status = Call(); } while (retry.Again(status));
//   Certainty certainty = retry.CertaintyOf(status);
//
// Thread safety: one thread at a time.

#include <chrono>
#include <functional>

#include "bench/load/client.h"
#include "google/rpc/status.pb.h"

namespace klatch::load {

// The same error as it stands in an item of a batch.
grpc::Status ToGrpcStatus(const google::rpc::Status& status);

// Whether the same call may succeed later.
bool MayHelpToRetry(const grpc::Status& status);
// Whether a call that ended so may have happened nevertheless.
bool MayHaveHappened(const grpc::Status& status);
// The server's hint; zero if it gave none.
std::chrono::milliseconds RetryAfter(const grpc::Status& status);

class Retry {
 public:
  // Lets time pass between two tries.
  using Pause = std::function<void(std::chrono::milliseconds)>;

  Retry(std::chrono::milliseconds retry_for, RunState& state, Pause pause);

  // Waits and returns true if the call that ended with `status` is worth another try; returns false
  // at once if it is not, if the time is over or if the run must stop.
  bool Again(const grpc::Status& status);
  // REQUIRES: Again returned false for `status`, the last try's.
  Certainty CertaintyOf(const grpc::Status& status) const;

 private:
  RunState& state_;
  const std::chrono::milliseconds retry_for_;
  const std::chrono::steady_clock::time_point end_;
  const Pause pause_;
  std::chrono::milliseconds next_pause_{10};
  bool may_have_happened_ = false;
};

}  // namespace klatch::load
