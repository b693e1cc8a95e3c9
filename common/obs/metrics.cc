#include "common/obs/metrics.h"

#include <prometheus/check_names.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <cassert>
#include <sstream>

namespace klatch::obs {
namespace {

constexpr double kMicrosecondsPerSecond = 1e6;

// Upper bounds of the exposed histograms, in microseconds.
constexpr std::array<uint64_t, 18> kBoundsMicroseconds = {
    50,     100,     250,     500,     1'000,     2'500,     5'000,     10'000,     25'000,
    50'000, 100'000, 250'000, 500'000, 1'000'000, 2'500'000, 5'000'000, 10'000'000, 30'000'000};

void ReadHistogram(const LatencyHistogram& histogram, prometheus::ClientMetric& metric) {
  std::array<uint64_t, kBoundsMicroseconds.size() + 1> counts{};
  uint64_t total = 0;
  histogram.ForEachBucket([&](uint64_t value_max, uint64_t count) {
    const auto bound = std::ranges::lower_bound(kBoundsMicroseconds, value_max);
    counts[static_cast<size_t>(bound - kBoundsMicroseconds.begin())] += count;
    total += count;
  });
  metric.histogram.sample_count = total;
  metric.histogram.sample_sum = static_cast<double>(histogram.Sum()) / kMicrosecondsPerSecond;
  uint64_t cumulative = 0;
  for (size_t i = 0; i < kBoundsMicroseconds.size(); ++i) {
    cumulative += counts[i];
    const double bound = static_cast<double>(kBoundsMicroseconds[i]) / kMicrosecondsPerSecond;
    metric.histogram.bucket.push_back({cumulative, bound});
  }
}

}  // namespace

size_t ShardedCounter::ThreadCell() {
  // Threads take cells in turn; relaxed, since only the spread matters.
  static std::atomic<size_t> next{0};
  thread_local const size_t cell = next.fetch_add(1, std::memory_order_relaxed) % kCells;
  return cell;
}

uint64_t ShardedCounter::Value() const {
  uint64_t sum = 0;
  for (const Cell& cell : cells_) {
    sum += cell.value.load(std::memory_order_relaxed);
  }
  return sum;
}

void MetricsRegistry::Add(std::string name, std::string help, Labels labels,
                          const ShardedCounter& counter) {
  AddCounter(std::move(name), std::move(help), std::move(labels),
             [&counter] { return counter.Value(); });
}

void MetricsRegistry::Add(std::string name, std::string help, Labels labels,
                          const LatencyHistogram& histogram) {
  auto read = [&histogram](prometheus::ClientMetric& metric) { ReadHistogram(histogram, metric); };
  AddSeries(std::move(name), std::move(help), prometheus::MetricType::Histogram,
            {std::move(labels), read});
}

void MetricsRegistry::AddCounter(std::string name, std::string help, Labels labels,
                                 std::function<uint64_t()> value) {
  AddSecondsCounter(std::move(name), std::move(help), std::move(labels),
                    [value = std::move(value)] { return static_cast<double>(value()); });
}

void MetricsRegistry::AddSecondsCounter(std::string name, std::string help, Labels labels,
                                        std::function<double()> value) {
  auto read = [value = std::move(value)](prometheus::ClientMetric& metric) {
    metric.counter.value = value();
  };
  AddSeries(std::move(name), std::move(help), prometheus::MetricType::Counter,
            {std::move(labels), std::move(read)});
}

void MetricsRegistry::AddGauge(std::string name, std::string help, Labels labels,
                               std::function<double()> value) {
  auto read = [value = std::move(value)](prometheus::ClientMetric& metric) {
    metric.gauge.value = value();
  };
  AddSeries(std::move(name), std::move(help), prometheus::MetricType::Gauge,
            {std::move(labels), std::move(read)});
}

void MetricsRegistry::AddSeries(std::string name, std::string help, prometheus::MetricType type,
                                Series series) {
  assert(prometheus::CheckMetricName(name));
  std::lock_guard lock(mutex_);
  auto family = std::ranges::find(families_, name, &Family::name);
  if (family == families_.end()) {
    families_.push_back({std::move(name), std::move(help), type, {}});
    family = families_.end() - 1;
  }
  assert(family->type == type);
  assert(std::ranges::find(family->series, series.labels, &Series::labels) == family->series.end());
  family->series.push_back(std::move(series));
}

void MetricsRegistry::Clear() {
  std::lock_guard lock(mutex_);
  families_.clear();
}

std::vector<prometheus::MetricFamily> MetricsRegistry::Collect() const {
  std::lock_guard lock(mutex_);
  std::vector<prometheus::MetricFamily> collected;
  for (const Family& family : families_) {
    prometheus::MetricFamily& out = collected.emplace_back();
    out.name = family.name;
    out.help = family.help;
    out.type = family.type;
    for (const Series& series : family.series) {
      prometheus::ClientMetric& metric = out.metric.emplace_back();
      for (const auto& [label, value] : series.labels) {
        metric.label.push_back({label, value});
      }
      series.read(metric);
    }
  }
  return collected;
}

std::string MetricsRegistry::Render() const {
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, Collect());
  return text.str();
}

}  // namespace klatch::obs
