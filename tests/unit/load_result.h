#pragma once
// A Result as a load might leave it, for tests of what is made of results.
//
// Pure: the same arguments make the same result.

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "bench/load/result/result.h"

namespace klatch::load {

class ResultMaker {
 public:
  // `speed` multiplies rates and divides latencies and costs.
  explicit ResultMaker(int seconds = 120, double speed = 1, uint64_t seed = 1)
      : seconds_(seconds), speed_(speed), seed_(seed), random_(seed) {}

  Result Make() {
    Result result;
    result.name = "evening";
    result.started = "2026-11-29T18:30:00Z";
    result.verdict = "kept";
    result.sentence = "Kept: 0 lost, 0 duplicated, 0 leaked";
    result.machine = {{"cpu", "Xeon, 2.5 GHz"}, {"cores", "2"},      {"memory", "8 GiB"},
                      {"kernel", "6.1.0"},      {"klatch", "0.1.0"}, {"redis", "7.0.15"}};
    result.options = {{"persons", "100000"}, {"group-size", "400"}, {"rate", "2500"}};
    result.command = "klatch-load play --group-size=400 --persons=100000 --rate=2500";
    result.arrivals = "poisson";
    result.offered_per_second = 2'500;
    result.achieved_per_second = 2'480 * speed_;
    FillCounts(result);
    FillSeries(result);
    result.latencies.push_back(Latency("publish", "from the intended moment to the answer", 8.5));
    result.latencies.push_back(Latency("visible", "from there to a random member's page", 8.9));
    result.latencies.push_back(Latency("home_page", "a page of a home timeline", 6.5));
    result.summary.publish_p50_us = result.latencies[0].p50;
    result.summary.publish_p99_us = result.latencies[0].p99;
    result.summary.visible_p50_us = result.latencies[1].p50;
    result.summary.visible_p99_us = result.latencies[1].p99;
    result.costs = {{"CPU of klatchd per delivery", "µs", 0.62 / speed_},
                    {"CPU of Redis per delivery", "µs", 0.31 / speed_},
                    {"memory of klatchd, at most", "bytes", 560e6}};
    return result;
  }

 private:
  void FillCounts(Result& result) const {
    result.summary.persons = 100'000;
    result.summary.groups = 2'500;
    result.summary.published = 2'480 * static_cast<uint64_t>(seconds_);
    result.summary.deliveries = result.summary.published * 400;
    result.summary.seconds = seconds_;
    result.more.memberships = 1'000'000;
    result.more.seed = seed_;
    result.more.connections = 4;
    result.more.checked = result.more.flushed = true;
    result.more.home_timelines = {2'000, 100'000};
    result.more.stored_rings = {200'000, 200'000};
  }

  // Around `mean`, in waves of a minute, with noise and now and then a spike.
  Series Wave(std::string name, std::string panel, std::string unit, double mean, double noise,
              double spike = 0) {
    std::normal_distribution<double> scatter(0, noise);
    Series series{std::move(name), std::move(panel), std::move(unit), {}};
    for (int second = 0; second < seconds_; ++second) {
      const double wave = 1 + 0.08 * std::sin(second * 2 * 3.14159 / 60) + scatter(random_);
      const bool is_spike = spike > 0 && second % 41 == 33;
      series.points.push_back(std::max(0.0, mean * (wave + (is_spike ? spike : 0))));
    }
    return series;
  }

  void FillSeries(Result& result) {
    result.series.push_back({"offered", "rate", "1/s", {}});
    result.series.back().points.assign(static_cast<size_t>(seconds_), 2'500);
    result.series.push_back(Wave("answered", "rate", "1/s", 2'480 * speed_, 0.02));
    result.series.push_back(Wave("deliveries_memory", "deliveries", "1/s", 992'000 * speed_, 0.03));
    result.series.push_back(Wave("lag_append", "lag", "ms", 4 / speed_, 0.2, 6));
    result.series.push_back(Wave("deliveries_redis", "deliveries", "1/s", 992'000 * speed_, 0.2));
    result.series.push_back(Wave("lag_checkpoint", "lag", "ms", 1'900 / speed_, 0.1));
    result.series.push_back(Wave("unflushed", "backlog", "entries", 450'000 / speed_, 0.2));
    result.series.push_back(Wave("publish_p99", "latency", "µs", 28'000 / speed_, 0.15, 2));
    result.series.push_back(Wave("publish_p50", "latency", "µs", 5'200 / speed_, 0.06));
    // CPU rises with the deliveries, with a fixed part: each costs less when there are many.
    const std::vector<std::optional<double>> deliveries = result.series[2].points;
    result.series.push_back(Of(deliveries, "cpu_klatchd", "cpu", "cores", 0.12, 0.5e-6 / speed_));
    result.series.push_back(Of(deliveries, "cpu_redis", "cpu", "cores", 0.04, 0.27e-6 / speed_));
    result.series.push_back(Of(deliveries, "cpu_load", "cpu", "cores", 0.25, 0.2e-6));
    Series memory{"memory_klatchd", "memory", "bytes", {}};
    for (int second = 0; second < seconds_; ++second) {
      memory.points.push_back(350e6 + 220e6 * (1 - std::exp(-second / 40.0)));
    }
    result.series.push_back(memory);
    result.series.push_back(Wave("memory_redis", "memory", "bytes", 710e6, 0.001));
    // Nobody could tell for a while.
    for (size_t second = 50; second < 54 && second < memory.points.size(); ++second) {
      result.series[3].points[second].reset();
    }
  }

  Series Of(const std::vector<std::optional<double>>& deliveries, std::string name,
            std::string panel, std::string unit, double fixed, double each) {
    std::normal_distribution<double> scatter(1, 0.03);
    Series series{std::move(name), std::move(panel), std::move(unit), {}};
    for (const std::optional<double>& delivered : deliveries) {
      series.points.push_back((fixed + each * *delivered) * scatter(random_));
    }
    return series;
  }

  Spectrum Latency(std::string name, std::string what, double log_median) {
    std::lognormal_distribution<double> latency(log_median - std::log(speed_), 0.7);
    obs::LatencyHistogram histogram;
    for (int i = 0; i < 1'000 * seconds_; ++i) {
      histogram.Record(static_cast<int64_t>(latency(random_)));
    }
    return MakeSpectrum(std::move(name), std::move(what), histogram);
  }

  const int seconds_;
  const double speed_;
  const uint64_t seed_;
  std::mt19937_64 random_;
};

}  // namespace klatch::load
