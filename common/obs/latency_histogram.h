#pragma once
// A histogram of latencies in microseconds with buckets that grow with the value: exact below 64
// µs, then 32 buckets for each doubling, so that a percentile is at most 1/32 (3.2 %) above the
// truth.
//
// Thread safety: Record and Merge from any thread, wait-free but for the maximum; reads run beside
// them and see each bucket at some moment.
// Bounds: 8.5 KiB each. Values above kValueMax (about 38 hours) count in the last bucket; Max stays
// exact.
// Not promised: a consistent cut across buckets while others record.

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace klatch::obs {

class LatencyHistogram {
 public:
  static constexpr int kSubBucketBits = 5;
  static constexpr uint64_t kSubBuckets = 1u << kSubBucketBits;
  static constexpr int kValueBits = 37;
  static constexpr uint64_t kValueMax = (uint64_t{1} << kValueBits) - 1;
  static constexpr size_t kBucketCount = (kValueBits - kSubBucketBits + 1) * kSubBuckets;

  LatencyHistogram() = default;
  LatencyHistogram(const LatencyHistogram&) = delete;
  LatencyHistogram& operator=(const LatencyHistogram&) = delete;

  // Negative values count as 0: a clock went back.
  void Record(int64_t microseconds);
  void Record(std::chrono::nanoseconds latency) {
    Record(std::chrono::duration_cast<std::chrono::microseconds>(latency).count());
  }
  // Adds what `other` holds.
  void Merge(const LatencyHistogram& other);

  // The value below or at which `percent` of the values lie, in microseconds; 0 if there are none.
  // REQUIRES: 0 <= percent <= 100.
  uint64_t Percentile(double percent) const;
  uint64_t Count() const;
  uint64_t Max() const;
  uint64_t Sum() const;

  // The buckets that hold something, from low to high; `value_max` is the highest value that falls
  // into the bucket.
  void ForEachBucket(const std::function<void(uint64_t value_max, uint64_t count)>& visit) const;

  // The distribution in HdrHistogram's text form, as of hgrm.h.
  std::string ToHgrm() const;

  // The bucket of a value and the highest value of a bucket.
  static size_t BucketOf(uint64_t value);
  static uint64_t HighestValueOf(size_t bucket);

 private:
  // Counters: they publish nothing, relaxed.
  std::array<std::atomic<uint64_t>, kBucketCount> buckets_{};
  std::atomic<uint64_t> sum_{0};
  std::atomic<uint64_t> max_{0};
};

}  // namespace klatch::obs
