#pragma once
// Time as something that is passed in, so that a test can turn it. `Monotonic` orders waits, leases
// and deadlines; `Wall` is for people and for record times and may jump. Thread-safe.

#include <chrono>
#include <cstdint>

namespace klatch::base {

using MonotonicTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;

// Whole milliseconds since 1970.
inline int64_t UnixMs(WallTime time) {
  return std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonotonicTime Monotonic() const = 0;
  virtual WallTime Wall() const = 0;
};

class SystemClock final : public Clock {
 public:
  MonotonicTime Monotonic() const override { return std::chrono::steady_clock::now(); }
  WallTime Wall() const override { return std::chrono::system_clock::now(); }
};

}  // namespace klatch::base
