#pragma once
// Tasks for the live thread, from any thread.
//
// Thread safety: Post and Close from any thread; Run by the live thread.
// Bound: a stream has at most one request, one write and one end under way, a call one fence, and
// reads for resumes are counted; so tasks are bounded by the calls and streams under way.

#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "common/lockfree/doorbell.h"

namespace klatch {

class LiveInbox {
 public:
  explicit LiveInbox(lockfree::Doorbell& bell) : bell_(bell) {}

  // False, and `task` is not run, once it is closed.
  bool Post(std::function<void()> task) {
    {
      std::lock_guard lock(mutex_);
      if (closed_) {
        return false;
      }
      tasks_.push_back(std::move(task));
    }
    bell_.Ring();
    return true;
  }

  // Runs what is there; how many.
  size_t Run() {
    std::vector<std::function<void()>> tasks;
    {
      std::lock_guard lock(mutex_);
      tasks.swap(tasks_);
    }
    for (const auto& task : tasks) {
      task();
    }
    return tasks.size();
  }

  void Close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }

 private:
  lockfree::Doorbell& bell_;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::vector<std::function<void()>> tasks_;
  bool closed_ = false;
};

}  // namespace klatch
