#pragma once
// A thread that writes beside those who are measured, at most 100,000 times a second: as often for a
// slow structure as for a fast one, and without taking a core of a small machine for itself.
//
// Thread safety: the function is called by the writer's thread alone, until it says false or the
// writer is destroyed.

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <utility>

namespace klatch::lockfree {

class PacedWriter {
 public:
  explicit PacedWriter(std::function<bool()> write)
      : write_(std::move(write)), thread_([this] { Run(); }) {}
  ~PacedWriter() {
    stopping_.store(true, std::memory_order_relaxed);  // publishes nothing
    thread_.join();
  }
  PacedWriter(const PacedWriter&) = delete;
  PacedWriter& operator=(const PacedWriter&) = delete;

 private:
  void Run() {
    constexpr int kWritesPerTurn = 100;
    while (!stopping_.load(std::memory_order_relaxed)) {
      for (int i = 0; i < kWritesPerTurn; ++i) {
        if (!write_()) {
          return;
        }
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  const std::function<bool()> write_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace klatch::lockfree
