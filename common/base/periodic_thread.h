#pragma once
// A thread that does the same bounded step again and again, with a pause before each.
//
//   void Start() { thread_.Start(); }
//   void Stop() { thread_.Stop(); }
//   …
//   base::PeriodicThread thread_{"ticker", kPeriod, [this] { DoWork(); }};
//
// Thread safety: Start and Stop by the owner; stopping from any thread. Steps never overlap.
// Lifetime: what the step uses outlives this, so among members it stands last.
// Bound: Stop ends a pause at once, and waits for a step under way; a long step asks stopping().
// It keeps no rate: the pause begins when a step has ended. What a step fails in is the step's own
// business; the next comes in any case.

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace klatch::base {

class PeriodicThread {
 public:
  // `name`, at most 15 bytes, is the thread's for whoever looks at the process.
  PeriodicThread(std::string name, std::chrono::milliseconds pause, std::function<void()> step);
  ~PeriodicThread() { Stop(); }
  PeriodicThread(const PeriodicThread&) = delete;
  PeriodicThread& operator=(const PeriodicThread&) = delete;

  // REQUIRES: neither Start nor Stop was called before.
  void Start();
  // Returns when no step runs and none will. Does no harm before Start or once more.
  void Stop();

  // Whether Stop has been called.
  bool stopping() const;

 private:
  void Run();

  const std::string name_;
  const std::chrono::milliseconds pause_;
  const std::function<void()> step_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace klatch::base
