#pragma once
// Counters, gauges and latencies, and the registry that a scrape reads.
//
//   obs::ShardedCounter deliveries_;                   // a member of the stage
//   registry.Add("klatch_deliveries_total", "Entries appended to timelines.", {}, deliveries_);
//   registry.AddGauge("klatch_dirty_bytes", "…", {{"worker", "0"}}, [this] { return …; });
//
// Thread safety: everything from any thread. A scrape holds the registry's mutex while it calls the
// gauges, so a gauge must neither block nor register.
// Lifetime: what is added outlives the registry's last scrape; main stops the server first.

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "common/obs/latency_histogram.h"

namespace klatch::obs {

// A counter for paths where several threads count often: each thread adds to a cell on a cache line
// of its own (threads beyond kCells share), a scrape sums them.
class ShardedCounter {
 public:
  void Add(uint64_t n = 1) {
    // Relaxed: a count publishes nothing else.
    cells_[ThreadCell()].value.fetch_add(n, std::memory_order_relaxed);
  }
  // At least what was added before the call by this thread; never goes back.
  uint64_t Value() const;

 private:
  static constexpr size_t kCells = 16;
  static constexpr size_t kCacheLineBytes = 64;
  struct alignas(kCacheLineBytes) Cell {
    std::atomic<uint64_t> value{0};
  };
  static size_t ThreadCell();

  std::array<Cell, kCells> cells_;
};

using Labels = std::vector<std::pair<std::string, std::string>>;

class MetricsRegistry final : public prometheus::Collectable {
 public:
  MetricsRegistry() = default;
  MetricsRegistry(const MetricsRegistry&) = delete;
  MetricsRegistry& operator=(const MetricsRegistry&) = delete;

  // REQUIRES, for all: `name` is a valid metric name, always with the same kind and help, and new
  // with these labels. Names of counters end in _total, those of latencies in _seconds.
  void Add(std::string name, std::string help, Labels labels, const ShardedCounter& counter);
  void Add(std::string name, std::string help, Labels labels, const LatencyHistogram& histogram);
  void AddCounter(std::string name, std::string help, Labels labels,
                  std::function<uint64_t()> value);
  // One that counts in seconds, and in parts of them.
  void AddSecondsCounter(std::string name, std::string help, Labels labels,
                         std::function<double()> value);
  void AddGauge(std::string name, std::string help, Labels labels, std::function<double()> value);

  // Forgets all metrics; waits for a Collect under way, so that what they refer to may go
  // afterwards.
  void Clear();

  // In the order of first registration. Latencies become histograms with fixed bounds from 50 µs to
  // 30 s; a value within 3 % of a bound may count above it.
  std::vector<prometheus::MetricFamily> Collect() const override;

  // What /metrics answers.
  std::string Render() const;

 private:
  struct Series {
    Labels labels;
    std::function<void(prometheus::ClientMetric&)> read;
  };
  struct Family {
    std::string name;
    std::string help;
    prometheus::MetricType type;
    std::vector<Series> series;
  };
  void AddSeries(std::string name, std::string help, prometheus::MetricType type, Series series);

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::vector<Family> families_;
};

}  // namespace klatch::obs
