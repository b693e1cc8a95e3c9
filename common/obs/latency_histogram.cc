#include "common/obs/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "common/obs/hgrm.h"

namespace klatch::obs {

size_t LatencyHistogram::BucketOf(uint64_t value) {
  value = std::min(value, kValueMax);
  const int shift = std::max(0, static_cast<int>(std::bit_width(value)) - 1 - kSubBucketBits);
  return static_cast<size_t>(shift) * kSubBuckets + (value >> shift);
}

uint64_t LatencyHistogram::HighestValueOf(size_t bucket) {
  if (bucket < 2 * kSubBuckets) {
    return bucket;
  }
  const size_t shift = bucket / kSubBuckets - 1;
  const uint64_t leading = bucket - shift * kSubBuckets;
  return ((leading + 1) << shift) - 1;
}

void LatencyHistogram::Record(int64_t microseconds) {
  const uint64_t value = microseconds < 0 ? 0 : static_cast<uint64_t>(microseconds);
  // Relaxed throughout: each number stands for itself, readers order nothing by them.
  buckets_[BucketOf(value)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
  uint64_t max = max_.load(std::memory_order_relaxed);
  while (value > max && !max_.compare_exchange_weak(max, value, std::memory_order_relaxed)) {
  }
}

void LatencyHistogram::Merge(const LatencyHistogram& other) {
  for (size_t i = 0; i < kBucketCount; ++i) {
    const uint64_t count = other.buckets_[i].load(std::memory_order_relaxed);
    if (count != 0) {
      buckets_[i].fetch_add(count, std::memory_order_relaxed);
    }
  }
  sum_.fetch_add(other.Sum(), std::memory_order_relaxed);
  const uint64_t value = other.Max();
  uint64_t max = max_.load(std::memory_order_relaxed);
  while (value > max && !max_.compare_exchange_weak(max, value, std::memory_order_relaxed)) {
  }
}

uint64_t LatencyHistogram::Percentile(double percent) const {
  // One copy, so that the rank and the walk see the same counts while others record.
  std::array<uint64_t, kBucketCount> counts;
  uint64_t total = 0;
  for (size_t i = 0; i < kBucketCount; ++i) {
    counts[i] = buckets_[i].load(std::memory_order_relaxed);
    total += counts[i];
  }
  if (total == 0) {
    return 0;
  }
  const double exact = std::ceil(percent / 100.0 * static_cast<double>(total));
  const uint64_t rank = std::clamp(static_cast<uint64_t>(exact), uint64_t{1}, total);
  uint64_t seen = 0;
  size_t bucket = 0;
  while (seen + counts[bucket] < rank) {
    seen += counts[bucket];
    ++bucket;
  }
  // The last bucket has no upper end; the maximum is also the better answer within its bucket.
  const uint64_t max = Max();
  return bucket + 1 == kBucketCount ? max : std::min(HighestValueOf(bucket), max);
}

uint64_t LatencyHistogram::Count() const {
  uint64_t total = 0;
  for (const auto& bucket : buckets_) {
    total += bucket.load(std::memory_order_relaxed);
  }
  return total;
}

uint64_t LatencyHistogram::Max() const { return max_.load(std::memory_order_relaxed); }

uint64_t LatencyHistogram::Sum() const { return sum_.load(std::memory_order_relaxed); }

void LatencyHistogram::ForEachBucket(
    const std::function<void(uint64_t value_max, uint64_t count)>& visit) const {
  for (size_t i = 0; i < kBucketCount; ++i) {
    const uint64_t count = buckets_[i].load(std::memory_order_relaxed);
    if (count != 0) {
      visit(HighestValueOf(i), count);
    }
  }
}

std::string LatencyHistogram::ToHgrm() const {
  std::vector<std::pair<uint64_t, uint64_t>> buckets;
  uint64_t total = 0;
  ForEachBucket([&](uint64_t value_max, uint64_t count) {
    buckets.emplace_back(value_max, count);
    total += count;
  });
  const double mean = total == 0 ? 0.0 : static_cast<double>(Sum()) / static_cast<double>(total);
  return HgrmText(buckets, mean, Max());
}

}  // namespace klatch::obs
