#pragma once
// Waits of operators' calls for what nobody tells: that a flush has ended, that a hole is mended. A
// thread that looks every few milliseconds while somebody waits.
//
// Thread safety: any thread. `done` is asked on the thread of this object and must be quick.
// Lifetime: the executor outlives it; what `done` looks at outlives the wait.
// Bound: limits::kAdminWaitsMax waits at once; each has a deadline.

#include <condition_variable>
#include <coroutine>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/executor.h"
#include "common/base/status.h"
#include "common/base/task.h"

namespace klatch {

class Polls {
 public:
  Polls(base::Executor& executor, const base::Clock& clock);
  ~Polls();
  Polls(const Polls&) = delete;
  Polls& operator=(const Polls&) = delete;

  // Continues on the executor. OK once `done` says true; DEADLINE_EXCEEDED if `deadline` comes
  // first; RESOURCE_EXHAUSTED if too many wait; UNAVAILABLE when the node stops.
  base::Task<absl::Status> Until(std::function<bool()> done, base::MonotonicTime deadline);

  // Ends all waits, and those that come later. Idempotent.
  void Stop();

 private:
  struct Wait {
    std::function<bool()> done;
    base::MonotonicTime deadline;
    std::coroutine_handle<> waiter;
    absl::Status result;
  };
  struct Awaiter;

  void Run();
  // Whether it is over; its result then stands in it.
  bool IsOver(Wait& wait) const;

  base::Executor& executor_;
  const base::Clock& clock_;

  std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_.
  std::vector<Wait*> waits_;
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace klatch
