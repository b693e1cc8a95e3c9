#pragma once
// Time as something that is passed in, so that a test can turn it. `Monotonic` orders waits, leases
// and deadlines; `Wall` is for people and for record times and may jump. Thread-safe.

#include <chrono>

namespace klatch::base {

using MonotonicTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;

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
