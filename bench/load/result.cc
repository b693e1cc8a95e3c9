#include "bench/load/result.h"

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

}  // namespace klatch::load
