// Which differences between results are told from the noise, and which aren't.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <iostream>
#include <random>

#include "bench/load/result/result_compare.h"
#include "tests/unit/load_result.h"

namespace klatch::load {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// `count` results whose rates and latencies vary by `noise` around a speed.
Side MakeSide(size_t count, double speed, double noise, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> scatter(1, noise);
  Side side;
  for (size_t i = 0; i < count; ++i) {
    side.files.push_back("result-" + std::to_string(i) + ".json");
    side.results.push_back(ResultMaker(60, speed * scatter(random), seed + i).Make());
    side.results.back().more.seed = 1;
  }
  return side;
}

Comparison Find(const Comparisons& comparisons, const std::string& name) {
  for (const Comparison& comparison : comparisons.measures) {
    if (comparison.name == name) {
      return comparison;
    }
  }
  ADD_FAILURE() << "no measure " << name;
  return {};
}

TEST(EstimateTest, IntervalsAreStudents) {
  // Mean 10, deviation 2, so 4.604 * 2 / sqrt(5) on either side.
  const Estimate estimate = EstimateOf({8, 9, 10, 10, 13});
  EXPECT_DOUBLE_EQ(estimate.value, 10);
  ASSERT_TRUE(estimate.interval.has_value());
  const double deviation = std::sqrt((4 + 1 + 0 + 0 + 9) / 4.0);
  EXPECT_NEAR(estimate.interval->high, 10 + 4.604 * deviation / std::sqrt(5), 1e-9);
  EXPECT_NEAR(estimate.interval->low, 10 - 4.604 * deviation / std::sqrt(5), 1e-9);
  EXPECT_FALSE(EstimateOf({5}).interval.has_value());
  EXPECT_DOUBLE_EQ(EstimateOf({5, 5, 5}).interval->high, 5);
}

TEST(CompareTest, ATrueDifferenceBeyondTheNoiseIsFound) {
  const Comparisons comparisons = Compare(MakeSide(5, 1, 0.03, 10), MakeSide(5, 1.3, 0.03, 20));
  for (const char* name : {"operations", "deliveries", "publish p50", "publish p99", "lag append",
                           "cpu klatchd per delivery", "CPU of klatchd per delivery"}) {
    EXPECT_EQ(Find(comparisons, name).change, Change::kBetter) << name;
  }
  EXPECT_NEAR(Find(comparisons, "deliveries").ratio, 1.3, 0.1);
  EXPECT_EQ(Find(comparisons, "memory of klatchd, at most").change, Change::kNone);
  const Comparisons reverse = Compare(MakeSide(5, 1.3, 0.03, 20), MakeSide(5, 1, 0.03, 10));
  EXPECT_EQ(Find(reverse, "publish p99").change, Change::kWorse);
  EXPECT_NEAR(Find(reverse, "publish p99").PercentWorse(), 30, 10);
  EXPECT_NEAR(Find(reverse, "deliveries").PercentWorse(), 23, 8);
}

TEST(CompareTest, TheSameDifferenceIsNoneWithinTheNoise) {
  const Comparisons comparisons = Compare(MakeSide(5, 1, 0.3, 10), MakeSide(5, 1.1, 0.3, 20));
  for (const char* name : {"deliveries", "publish p99", "cpu klatchd per delivery"}) {
    EXPECT_EQ(Find(comparisons, name).change, Change::kNone) << name;
    EXPECT_EQ(Find(comparisons, name).PercentWorse(), 0) << name;
  }
}

TEST(CompareTest, WhereNothingDiffersHardlyAnythingIsSaid) {
  const uint64_t seed = std::random_device()();
  std::cout << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  std::normal_distribution<double> value(100, 15);
  size_t verdicts = 0;
  constexpr size_t kTrials = 2'000;
  for (size_t trial = 0; trial < kTrials; ++trial) {
    std::array<std::vector<double>, 2> samples;
    for (std::vector<double>& side : samples) {
      for (int i = 0; i < 4; ++i) {
        side.push_back(value(random));
      }
    }
    const Estimate a = EstimateOf(samples[0]);
    const Estimate b = EstimateOf(samples[1]);
    verdicts += a.interval->high < b.interval->low || b.interval->high < a.interval->low ? 1 : 0;
  }
  EXPECT_LT(verdicts, kTrials / 100);
}

TEST(CompareTest, SingleResultsAreHeldAgainstTheirOwnStretches) {
  const Side a = MakeSide(1, 1, 0, 10);
  const Comparisons same = Compare(a, MakeSide(1, 1, 0, 20));
  EXPECT_EQ(Find(same, "deliveries").a.samples, 10u);
  EXPECT_EQ(Find(same, "deliveries").change, Change::kNone);
  EXPECT_EQ(Find(same, "publish p50").change, Change::kNone);
  const Comparisons other = Compare(a, MakeSide(1, 2, 0, 20));
  EXPECT_EQ(Find(other, "deliveries").change, Change::kBetter);
  EXPECT_EQ(Find(other, "publish p50").change, Change::kBetter);
  // Of a number without a series nobody can tell.
  EXPECT_EQ(Find(other, "CPU of klatchd per delivery").change, Change::kNone);
  EXPECT_FALSE(Find(other, "CPU of klatchd per delivery").a.interval.has_value());
}

TEST(CompareTest, OneBadStretchIsNoise) {
  Side a = MakeSide(1, 1, 0, 10);
  Side b = MakeSide(1, 1, 0, 20);
  for (size_t second = 0; second < 12; ++second) {
    b.results[0].series[2].points[second] = 1'000;
  }
  const Comparison deliveries = Find(Compare(a, b), "deliveries");
  EXPECT_LT(deliveries.ratio, 0.85);
  EXPECT_EQ(deliveries.change, Change::kNone);
}

TEST(CompareTest, AShortSeriesHasNoSpread) {
  Side a = MakeSide(1, 1, 0, 10);
  a.results[0].series[2].points.resize(19);
  const Comparison deliveries = Find(Compare(a, MakeSide(1, 9, 0, 20)), "deliveries");
  EXPECT_FALSE(deliveries.a.interval.has_value());
  EXPECT_EQ(deliveries.change, Change::kNone);
}

TEST(CompareTest, RareValuesOfAShortRunHaveNoSpread) {
  // In 60 seconds there is no one in a thousand.
  const Comparisons comparisons = Compare(MakeSide(1, 1, 0, 10), MakeSide(1, 9, 0, 20));
  EXPECT_FALSE(Find(comparisons, "publish p99.9").a.interval.has_value());
  EXPECT_EQ(Find(comparisons, "publish p99.9").change, Change::kNone);
}

TEST(CompareTest, WhatIsNotTheSameIsSaid) {
  Side a = MakeSide(3, 1, 0.1, 10);
  Side b = MakeSide(3, 1, 0.1, 10);
  EXPECT_THAT(Compare(a, b).warnings, IsEmpty());
  b.results[1].machine["cores"] = "4";
  b.results[1].machine["klatch"] = "0.2.0";
  b.results[2].more.seed = 7;
  b.results[0].options["quarrels"] = "0";
  b.results[0].options["target"] = "unix:/elsewhere";
  b.results[0].verdict = "missed";
  const std::vector<std::string> warnings = Compare(a, b).warnings;
  EXPECT_THAT(warnings, ::testing::UnorderedElementsAre("result-0.json of B: missed",
                                                        "the seed differs: 1; 7",
                                                        "the machine's cores differs: 2; 4",
                                                        "option --quarrels differs: 0; not given"));
  b.files.resize(1);
  b.results.resize(1);
  EXPECT_THAT(Compare(a, b).warnings, Contains(HasSubstr("B is one result")));
}

TEST(CompareTest, BothFormsSayTheSame) {
  const Side a = MakeSide(5, 1, 0.03, 10);
  const Side b = MakeSide(5, 1.3, 0.03, 20);
  const Comparisons comparisons = Compare(a, b);
  const std::string text = CompareText(comparisons, a, b);
  EXPECT_THAT(text, HasSubstr("A  result-0.json, result-1.json"));
  EXPECT_THAT(text, HasSubstr(" faster\n"));
  EXPECT_THAT(text, HasSubstr("\nunflushed, entries "));
  EXPECT_THAT(text, HasSubstr("no difference beyond the noise\n"));
  const std::string json = CompareJson(comparisons, a, b);
  EXPECT_EQ(json.find('\n'), json.size() - 1);
  EXPECT_THAT(json, HasSubstr("{\"name\":\"deliveries\",\"unit\":\"1/s\",\"better\":\"higher\""));
  EXPECT_THAT(json, HasSubstr("\"verdict\":\"better\""));
  EXPECT_THAT(json, Not(HasSubstr("nan")));
}

}  // namespace
}  // namespace klatch::load
