#include "bench/load/result/result.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace klatch::load {

Spectrum MakeSpectrum(std::string name, std::string what, const obs::LatencyHistogram& histogram) {
  Spectrum spectrum;
  spectrum.name = std::move(name);
  spectrum.what = std::move(what);
  histogram.ForEachBucket([&spectrum](uint64_t value_max, uint64_t count) {
    spectrum.buckets.emplace_back(value_max, count);
    spectrum.count += count;
  });
  spectrum.p50 = histogram.Percentile(50);
  spectrum.p90 = histogram.Percentile(90);
  spectrum.p99 = histogram.Percentile(99);
  spectrum.p999 = histogram.Percentile(99.9);
  spectrum.max = histogram.Max();
  spectrum.mean = spectrum.count == 0
                      ? 0
                      : static_cast<double>(histogram.Sum()) / static_cast<double>(spectrum.count);
  return spectrum;
}

uint64_t PercentileOf(const Spectrum& spectrum, double percent) {
  const double exact = std::ceil(percent / 100 * static_cast<double>(spectrum.count));
  uint64_t seen = 0;
  for (const auto& [value_max, count] : spectrum.buckets) {
    seen += count;
    if (static_cast<double>(seen) >= std::max(exact, 1.0)) {
      return std::min(value_max, spectrum.max);
    }
  }
  return spectrum.max;
}

const Series* FindSeries(const Result& result, std::string_view name) {
  const auto found = std::ranges::find(result.series, name, &Series::name);
  return found == result.series.end() ? nullptr : &*found;
}

}  // namespace klatch::load
