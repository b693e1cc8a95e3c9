#pragma once
// What the threads of a stress test found wrong: a count, and the first few in words.
//
// Thread safety: any thread.

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

namespace klatch::stress {

class Findings {
 public:
  void Add(const std::string& what) {
    // Relaxed: a counter, read after the threads are joined.
    if (count_.fetch_add(1, std::memory_order_relaxed) < kKept) {
      const std::lock_guard lock(mutex_);
      text_ += what + "\n";
    }
  }
  uint64_t count() const { return count_.load(std::memory_order_relaxed); }
  std::string text() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  static constexpr uint64_t kKept = 5;

  std::atomic<uint64_t> count_{0};
  mutable std::mutex mutex_;
  std::string text_;  // guarded by mutex_
};

}  // namespace klatch::stress
