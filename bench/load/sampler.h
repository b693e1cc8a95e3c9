#pragma once
// Looks once a second at how the load goes: what was due and what was answered, what the node says
// under /metrics, what Redis says of itself. What it cannot learn is missing in that second, never
// made up.
//
// Use: Start when the load starts, Stop when it is drained; then `series`. `now` is for whoever shows
// the run meanwhile.
// Threads: its own looks; Start and Stop from one thread, `now` from any.
// Bound: kSeriesSecondsMax seconds of each series; what comes later is left out.

#include <array>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bench/load/cast/player.h"
#include "bench/load/plan/arrivals.h"
#include "bench/load/result/result.h"
#include "bench/load/scrape.h"
#include "common/redis/connection.h"

namespace klatch::load {

class Sampler {
 public:
  struct Options {
    std::string metrics;  // empty: the node is not asked
    std::string redis;    // empty: Redis is not asked
    ArrivalPlan arrivals;
    uint64_t seed = 0;  // of the arrivals
  };

  // The references outlive it.
  Sampler(const Options& options, const RunState& state, const Latencies& latencies);
  ~Sampler();
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  // REQUIRES: the state's `start` is set.
  void Start();
  void Stop();

  // What the last second was like, by name; nothing where that isn't known (yet).
  std::optional<double> now(std::string_view name) const;

  // The last `seconds` of it, the newest last; fewer if there are no more yet.
  std::vector<std::optional<double>> recent(std::string_view name, size_t seconds) const;

  // REQUIRES: stopped. Those of which there is at least one point.
  std::vector<Series> TakeSeries();
  // The CPU seconds that klatchd and Redis took, first look to last; of what was started again meanwhile,
  // but for the moments about its end.
  struct Cpu {
    std::optional<double> klatchd;
    std::optional<double> redis;
  };
  Cpu cpu() const { return cpu_; }

 private:
  class Distribution;
  // What is known at one moment.
  struct Look;

  void Run();
  Look TakeLook();
  void AskNode(Look& look);
  void AskRedis(Look& look);
  // Second `second` of every series, from the looks at its beginning and end.
  void Put(size_t second, const Look& before, const Look& after);
  void PutPoint(std::string_view name, std::string_view panel, std::string_view unit, size_t second,
                std::optional<double> value);
  void PutLatencies(size_t second, const Look& before, const Look& after);
  double OfferedIn(size_t second);

  const Options options_;
  const RunState& state_;
  const Latencies& latencies_;
  std::unique_ptr<Scraper> scraper_;               // null: none
  std::unique_ptr<redis::Connection> connection_;  // null: none
  std::optional<Arrivals> arrivals_;
  std::optional<std::chrono::nanoseconds> next_arrival_;
  Cpu cpu_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_.
  bool stopping_ = false;
  std::vector<Series> series_;

  std::thread thread_;
};

}  // namespace klatch::load
