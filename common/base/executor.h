#pragma once
// A small pool of threads that runs continuations: what a call does after it has waited for Redis
// or for records to be applied. Delivery never runs here.
//
// Thread safety: Post from any thread. Stop joins the threads after what is queued has run.
// Bound: tasks are continuations of calls that were admitted elsewhere, so the queue holds at most
// one task per call under way; there is no bound of its own.

#include <condition_variable>
#include <coroutine>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace klatch::base {

class Executor {
 public:
  // Without threads, whoever has it calls RunQueued.
  explicit Executor(size_t threads, std::string name);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Runs `task` soon on one of the pool's threads.
  void Post(std::function<void()> task);
  void Resume(std::coroutine_handle<> coroutine);

  // `co_await executor.Schedule()` continues on a thread of the pool.
  struct ScheduleAwaiter {
    Executor& executor;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) { executor.Resume(handle); }
    void await_resume() const noexcept {}
  };
  ScheduleAwaiter Schedule() { return ScheduleAwaiter{*this}; }

  // What is queued now, by the caller's thread. How many tasks that were.
  size_t RunQueued();

  // Runs what is queued, then ends the threads. Idempotent. Without threads nothing is run.
  void Stop();

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_.
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;

  std::vector<std::thread> threads_;
};

}  // namespace klatch::base
