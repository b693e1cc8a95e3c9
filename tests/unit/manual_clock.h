#pragma once
// A clock that stands still until it is moved. Its days begin where positions do.

#include <atomic>
#include <chrono>
#include <cstdint>

#include "common/base/clock.h"
#include "services/model/position.h"

namespace klatch {

class ManualClock final : public base::Clock {
 public:
  base::MonotonicTime Monotonic() const override {
    return base::MonotonicTime(std::chrono::milliseconds(now_ms_.load()));
  }
  base::WallTime Wall() const override {
    return base::WallTime(std::chrono::milliseconds(kEpochUnixMs + now_ms_.load()));
  }
  void Advance(std::chrono::milliseconds by) { now_ms_ += by.count(); }

 private:
  std::atomic<int64_t> now_ms_{1'000'000};
};

}  // namespace klatch
