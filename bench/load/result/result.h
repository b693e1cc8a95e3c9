#pragma once
// What a load leaves behind, whole: what was asked for, what came out, how it went from second to
// second, and what it cost. One file of JSON holds one Result; the report and `compare` are made of
// such files alone, so that a result can be looked at wherever it is carried.
//
// Thread safety: a value; none of its own.
// Bounds: kSeriesSecondsMax points in a series, kListMax spectra, series and costs each, kBytesMax
// in a file.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/load/result/report.h"
#include "common/obs/latency_histogram.h"

namespace klatch::load {

// The distribution of one latency, in microseconds.
struct Spectrum {
  std::string name;  // "publish", "visible", "last_member", "home_page", "profile_page", "watch"
  std::string what;  // for people: "from the intended moment of a post to its answer"
  uint64_t count = 0;
  uint64_t p50 = 0;
  uint64_t p90 = 0;
  uint64_t p99 = 0;
  uint64_t p999 = 0;
  uint64_t max = 0;
  double mean = 0;
  // From low to high: the highest value of a bucket, and how many values fell into it.
  std::vector<std::pair<uint64_t, uint64_t>> buckets;
};

// One measure from second to second. A point is missing where nobody could tell.
struct Series {
  std::string name;  // "offered", "answered", "deliveries_memory", "lag_append", "cpu_klatchd", …
  // What is drawn together: "rate", "deliveries", "lag", "backlog", "latency", "cpu", "memory".
  std::string panel;
  std::string unit;                           // "1/s", "ms", "µs", "cores", "bytes", "entries"
  std::vector<std::optional<double>> points;  // the value of second i since the first post
};

// What one operation costs: "CPU of klatchd per delivery", "µs".
struct Cost {
  std::string name;
  std::string unit;
  double value = 0;
};

struct Result {
  static constexpr int kSchema = 1;
  static constexpr size_t kSeriesSecondsMax = 86'400;
  static constexpr size_t kListMax = 256;
  // A day of 50 series needs half of it. Read, it takes about 20 times as much memory at the worst.
  static constexpr size_t kBytesMax = 64 << 20;

  std::string name;      // of the scenario, or "play"
  std::string started;   // RFC 3339, UTC
  std::string verdict;   // "kept", "missed", "interrupted", "unreachable"
  std::string sentence;  // the verdict for people, as play prints it
  std::string command;   // the line that makes another one, as a shell takes it
  // What ran where: "cpu", "cores", "memory", "kernel", "klatch", "redis".
  std::map<std::string, std::string> machine;
  // What differs from the defaults, by option.
  std::map<std::string, std::string> options;

  // "constant", "poisson", "step", "line", "burst", or "closed loop".
  std::string arrivals;
  double offered_per_second = 0;  // 0 of a closed loop
  double achieved_per_second = 0;

  Summary summary;
  Circumstances more;
  std::vector<Spectrum> latencies;
  std::vector<Series> series;
  std::vector<Cost> costs;
};

// REQUIRES: nothing records meanwhile.
Spectrum MakeSpectrum(std::string name, std::string what, const obs::LatencyHistogram& histogram);

// The value below or at which `percent` of a distribution's values lie, from its buckets; 0 if
// there are none. REQUIRES: 0 <= percent <= 100.
uint64_t PercentileOf(const Spectrum& spectrum, double percent);

// Null if there is none of that name.
const Series* FindSeries(const Result& result, std::string_view name);

}  // namespace klatch::load
