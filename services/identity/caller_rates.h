#pragma once
// How often each caller may do something: a bucket for each, which holds up to a burst and is filled at a steady
// rate. One caller who floods is refused, others are not.
//
// A bucket is one number, the time at which it would be full again. The table has room for 65,536 callers
// whose buckets are not full; beyond that the one that would be full soonest is forgotten.
//
// Thread safety: any thread.

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"

namespace klatch {

class CallerRates {
 public:
  struct Bounds {
    uint32_t per_second = 0;  // 0: no bound
    uint32_t burst = 100;
  };

  // All callers have the same bounds.
  CallerRates(Bounds bounds, const base::Clock& clock);
  // Each has bounds of their own.
  explicit CallerRates(const base::Clock& clock);

  // Takes `count` at once, or none: RESOURCE_EXHAUSTED with reason RATE_LIMITED and the time after which
  // as many would pass. REQUIRES: count is at most the burst.
  absl::Status Take(std::string_view caller, uint32_t count);
  // REQUIRES: made for bounds of each one's own. `refusal` is the error's message.
  absl::Status Take(std::string_view caller, uint32_t count, Bounds bounds,
                    std::string_view refusal);
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  struct Bucket {
    uint64_t caller = 0;  // its hash
    std::chrono::nanoseconds full_at{0};
  };
  static constexpr size_t kWays = 4;
  using Set = std::array<Bucket, kWays>;
  static constexpr size_t kSets = 1 << 14;
  static constexpr size_t kLocks = 64;

  const Bounds bounds_;
  const base::Clock& clock_;
  std::array<std::mutex, kLocks> locks_;
  std::vector<Set> sets_;  // each under its lock; none without a bound
  std::atomic<uint64_t> refused_{0};
};

}  // namespace klatch
