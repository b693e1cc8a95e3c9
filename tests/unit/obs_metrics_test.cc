// Counters, latencies and their exposition.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <thread>

#include "common/obs/metrics.h"
#include "common/obs/process_metrics.h"

namespace klatch::obs {
namespace {

using ::testing::HasSubstr;

TEST(LatencyHistogramTest, BucketsHoldTheirValuesWithinAThirtySecond) {
  for (uint64_t value = 0; value < 100'000; ++value) {
    const uint64_t highest = LatencyHistogram::HighestValueOf(LatencyHistogram::BucketOf(value));
    ASSERT_GE(highest, value);
    ASSERT_LE(highest - value, value / 32) << value;
  }
  for (size_t bucket = 0; bucket < LatencyHistogram::kBucketCount; ++bucket) {
    const uint64_t highest = LatencyHistogram::HighestValueOf(bucket);
    ASSERT_EQ(LatencyHistogram::BucketOf(highest), bucket);
    if (bucket + 1 < LatencyHistogram::kBucketCount) {
      ASSERT_EQ(LatencyHistogram::BucketOf(highest + 1), bucket + 1);
    }
  }
}

TEST(LatencyHistogramTest, AnswersForNothing) {
  const LatencyHistogram histogram;
  EXPECT_EQ(histogram.Count(), 0u);
  EXPECT_EQ(histogram.Percentile(99), 0u);
  EXPECT_EQ(histogram.Max(), 0u);
}

TEST(LatencyHistogramTest, TakesValuesBeyondItsEnds) {
  LatencyHistogram histogram;
  histogram.Record(-5);
  EXPECT_EQ(histogram.Max(), 0u);
  histogram.Record(std::numeric_limits<int64_t>::max());
  EXPECT_EQ(histogram.Count(), 2u);
  EXPECT_EQ(histogram.Max(), static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
  EXPECT_EQ(histogram.Percentile(100), histogram.Max());
  EXPECT_EQ(histogram.Percentile(0), 0u);
}

TEST(LatencyHistogramTest, PercentilesAreWithinFourPercentOfTheTruth) {
  const uint64_t seed = std::random_device()();
  std::cout << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  std::lognormal_distribution<double> latency(6, 2);
  LatencyHistogram histogram;
  std::vector<int64_t> values;
  for (int i = 0; i < 100'000; ++i) {
    values.push_back(static_cast<int64_t>(latency(random)));
    histogram.Record(values.back());
  }
  std::ranges::sort(values);
  for (double percent : {1.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
    const auto rank = static_cast<size_t>(std::ceil(percent / 100 * 100'000.0)) - 1;
    const auto truth = static_cast<double>(values[rank]);
    const auto answer = static_cast<double>(histogram.Percentile(percent));
    EXPECT_GE(answer, truth) << percent;
    EXPECT_LE(answer, truth * 1.04 + 1) << percent;
  }
}

TEST(LatencyHistogramTest, LosesNothingBetweenThreadsAndMerges) {
  LatencyHistogram one;
  LatencyHistogram two;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10'000; ++i) {
        one.Record(i);
        two.Record(std::chrono::milliseconds(i));
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  one.Merge(two);
  EXPECT_EQ(one.Count(), 80'000u);
  EXPECT_EQ(one.Max(), 9'999'000u);
  EXPECT_EQ(one.Sum(), uint64_t{4} * 1001 * (9'999 * 10'000 / 2));
}

// Without the line that says how the buckets are laid out, which differs.
std::string WithoutLastLine(const std::string& text) {
  return text.substr(0, text.rfind('\n', text.size() - 2) + 1);
}

std::string Golden(const std::string& name) {
  std::ifstream file(std::string(KLATCH_GOLDEN) + "/" + name);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The golden file was printed by HdrHistogram 2.1.11 for Java (Debian's libhdrhistogram-java):
// outputPercentileDistribution of a Histogram(3) with these values, all of which both hold exactly.
TEST(LatencyHistogramTest, WritesHgrmAsHdrHistogramDoes) {
  constexpr std::pair<int64_t, int> kValues[] = {
      {7, 1200}, {12, 50'000}, {13, 40'000}, {40, 7'000}, {63, 1'500}, {127, 200},
      {255, 60}, {1'023, 25},  {1'535, 12},  {1'599, 2},  {1'983, 1}};
  LatencyHistogram histogram;
  for (const auto& [value, count] : kValues) {
    for (int i = 0; i < count; ++i) {
      histogram.Record(value);
    }
  }
  const std::string golden = Golden("latencies.hgrm");
  ASSERT_FALSE(golden.empty());
  EXPECT_EQ(WithoutLastLine(histogram.ToHgrm()), WithoutLastLine(golden));
}

TEST(LatencyHistogramTest, WritesHgrmOfNothingAndOfOneValue) {
  LatencyHistogram histogram;
  EXPECT_THAT(histogram.ToHgrm(),
              HasSubstr("\n\n#[Mean    =        0.000, StdDeviation   =        0.000]\n"
                        "#[Max     =        0.000, Total count    =            0]\n"));
  histogram.Record(100);
  EXPECT_THAT(histogram.ToHgrm(),
              HasSubstr("\n\n     100.000 0.000000000000          1           1.00\n"
                        "     100.000 1.000000000000          1\n#[Mean"));
}

TEST(ShardedCounterTest, SumsWhatManyThreadsAdd) {
  ShardedCounter counter;
  std::vector<std::thread> threads;
  for (int t = 0; t < 20; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10'000; ++i) {
        counter.Add();
      }
      counter.Add(5);
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(counter.Value(), 20u * 10'005u);
}

TEST(MetricsRegistryTest, RendersEveryKindInPrometheusText) {
  ShardedCounter posts;
  ShardedCounter other_posts;
  LatencyHistogram latency;
  MetricsRegistry registry;
  registry.Add("klatch_posts_total", "Posts.", {{"result", "ok"}}, posts);
  registry.AddGauge("klatch_depth", "Depth.", {}, [] { return 2.5; });
  registry.Add("klatch_posts_total", "Posts.", {{"result", "a\"b"}}, other_posts);
  registry.Add("klatch_wait_seconds", "Wait.", {}, latency);
  registry.AddCounter("klatch_reads_total", "Reads.", {}, [] { return uint64_t{9}; });
  posts.Add(3);
  latency.Record(40);
  latency.Record(1'500);
  latency.Record(60'000'000);
  const std::string text = registry.Render();
  EXPECT_THAT(text,
              HasSubstr("# HELP klatch_posts_total Posts.\n# TYPE klatch_posts_total counter\n"
                        "klatch_posts_total{result=\"ok\"} 3\n"
                        "klatch_posts_total{result=\"a\\\"b\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("klatch_depth 2.5\n"));
  EXPECT_THAT(text, HasSubstr("klatch_reads_total 9\n"));
  EXPECT_THAT(text, HasSubstr("klatch_wait_seconds_count 3\n"));
  EXPECT_THAT(text, HasSubstr("klatch_wait_seconds_sum 60.00154\n"));
  EXPECT_THAT(text, HasSubstr("klatch_wait_seconds_bucket{le=\"0.0001\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("klatch_wait_seconds_bucket{le=\"0.0025\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("klatch_wait_seconds_bucket{le=\"30\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("klatch_wait_seconds_bucket{le=\"+Inf\"} 3\n"));
}

TEST(ProcessMetricsTest, TellWhatThisProcessTakes) {
  MetricsRegistry registry;
  RegisterProcessMetrics(registry);
  const auto value = [&registry](const std::string& name) {
    for (const prometheus::MetricFamily& family : registry.Collect()) {
      if (family.name == name) {
        const prometheus::ClientMetric& metric = family.metric.front();
        return metric.gauge.value + metric.counter.value;
      }
    }
    return -1.0;
  };
  const double cpu = value("process_cpu_seconds_total");
  const std::clock_t end = std::clock() + CLOCKS_PER_SEC / 10;
  while (std::clock() < end) {
  }
  EXPECT_NEAR(value("process_cpu_seconds_total"), cpu + 0.1, 0.05);
  std::vector<char> memory(64 << 20, 1);
  EXPECT_GE(value("process_resident_memory_bytes"), static_cast<double>(memory.size()));
  std::thread waiting([] { std::this_thread::sleep_for(std::chrono::milliseconds(200)); });
  EXPECT_GE(value("process_threads"), 2);
  waiting.join();
  const double open = value("process_open_fds");
  EXPECT_GE(open, 3);
  {
    const std::ifstream another("/proc/self/stat");
    EXPECT_EQ(value("process_open_fds"), open + 1);
  }
  const auto now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch());
  EXPECT_NEAR(value("process_start_time_seconds"), now.count(), 60);
}

}  // namespace
}  // namespace klatch::obs
