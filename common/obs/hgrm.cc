#include "common/obs/hgrm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "common/obs/latency_histogram.h"

namespace klatch::obs {
namespace {

constexpr double kStepsPerHalving = 5;
// Lines go on until the count is reached; of 2^64 values that is after 64 halvings.
constexpr double kHalvingsMax = 64;

// The percentile of the next line: each time that what is left to 100 % has halved, steps halve.
double NextPercentile(double percentile) {
  const double halvings = std::min(std::floor(std::log2(100 / (100 - percentile))), kHalvingsMax);
  return percentile + 100 / (kStepsPerHalving * std::exp2(halvings + 1));
}

std::string Line(uint64_t value, double percentile, uint64_t seen) {
  // Twelve digits, of which the library rounds halves up and fmt to even.
  const double fraction = std::floor(percentile / 100 * 1e12 + 0.5) / 1e12;
  return fmt::format("{:>12.3f} {:>14.12f} {:>10} {:>14.2f}\n", static_cast<double>(value),
                     fraction, seen, 1 / (1 - percentile / 100));
}

double Deviation(Buckets buckets, double mean, uint64_t total) {
  double squares = 0;
  for (const auto& [value, count] : buckets) {
    const double distance = static_cast<double>(value) - mean;
    squares += static_cast<double>(count) * distance * distance;
  }
  return total == 0 ? 0 : std::sqrt(squares / static_cast<double>(total));
}

}  // namespace

std::string HgrmText(Buckets buckets, double mean, uint64_t max) {
  std::string text = fmt::format("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile",
                                 "TotalCount", "1/(1-Percentile)");
  uint64_t total = 0;
  for (const auto& [value, count] : buckets) {
    total += count;
  }
  uint64_t seen = 0;
  double percentile = 0;
  for (const auto& [value_max, count] : buckets) {
    const uint64_t value = std::min(value_max, max);
    seen += count;
    const double reached = 100.0 * static_cast<double>(seen) / static_cast<double>(total);
    while (percentile < 100 && reached >= percentile) {
      text += Line(value, percentile, seen);
      percentile = NextPercentile(percentile);
      if (seen == total) {
        text += fmt::format("{:>12.3f} {:>14.12f} {:>10}\n", static_cast<double>(value), 1.0, seen);
        break;
      }
    }
  }
  text += fmt::format("#[Mean    = {:>12.3f}, StdDeviation   = {:>12.3f}]\n", mean,
                      Deviation(buckets, mean, total));
  text += fmt::format("#[Max     = {:>12.3f}, Total count    = {:>12}]\n", static_cast<double>(max),
                      total);
  text += fmt::format("#[Buckets = {:>12}, SubBuckets     = {:>12}]\n",
                      LatencyHistogram::kBucketCount / LatencyHistogram::kSubBuckets,
                      LatencyHistogram::kSubBuckets);
  return text;
}

}  // namespace klatch::obs
