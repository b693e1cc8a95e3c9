// The schedules of an open loop, and of which kinds its operations are.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "bench/load/plan/arrivals.h"
#include "bench/load/plan/operation_mix.h"
#include "common/base/status.h"

namespace klatch::load {
namespace {

using std::chrono_literals::operator""s;
using ::testing::HasSubstr;

// In seconds.
std::vector<double> All(const ArrivalPlan& plan, uint64_t seed = 1) {
  std::vector<double> times;
  Arrivals arrivals(plan, seed);
  while (auto time = arrivals.Next()) {
    times.push_back(std::chrono::duration<double>(*time).count());
  }
  return times;
}

// How many arrive in [from, to).
int64_t CountIn(const std::vector<double>& times, double from, double to) {
  return std::count_if(times.begin(), times.end(),
                       [&](double time) { return from <= time && time < to; });
}

TEST(ArrivalsTest, ConstantOnesAreEvenlySpaced) {
  const auto times = All({.kind = ArrivalKind::kConstant, .rate = 200, .duration = 3s});
  ASSERT_EQ(times.size(), 600u);
  for (size_t i = 1; i < times.size(); ++i) {
    EXPECT_NEAR(times[i] - times[i - 1], 0.005, 1e-6);
  }
}

TEST(ArrivalsTest, PoissonOnesComeAsOftenButAtRandom) {
  const auto times = All({.kind = ArrivalKind::kPoisson, .rate = 1'000, .duration = 20s});
  // Five standard deviations.
  EXPECT_NEAR(static_cast<double>(times.size()), 20'000, 5 * std::sqrt(20'000));
  std::vector<double> gaps(times.size() - 1);
  std::transform(times.begin() + 1, times.end(), times.begin(), gaps.begin(), std::minus<>());
  // Of an exponential distribution, 1 - 1/e lie below the mean; of constant gaps, none or all.
  const auto below = std::count_if(gaps.begin(), gaps.end(), [](double gap) { return gap < 1e-3; });
  EXPECT_NEAR(static_cast<double>(below) / static_cast<double>(gaps.size()), 1 - std::exp(-1),
              0.02);
  EXPECT_EQ(times, All({.kind = ArrivalKind::kPoisson, .rate = 1'000, .duration = 20s}));
  EXPECT_NE(times, All({.kind = ArrivalKind::kPoisson, .rate = 1'000, .duration = 20s}, 2));
}

TEST(ArrivalsTest, ALineGrowsEvenlyAndFallsEvenly) {
  const ArrivalPlan rising{
      .kind = ArrivalKind::kLine, .rate = 100, .rate_end = 500, .duration = 10s};
  const auto up = All(rising);
  EXPECT_NEAR(static_cast<double>(up.size()), rising.Count(), 1);
  EXPECT_NEAR(static_cast<double>(CountIn(up, 0, 1)), 120, 2);
  EXPECT_NEAR(static_cast<double>(CountIn(up, 9, 10)), 480, 2);
  const auto down =
      All({.kind = ArrivalKind::kLine, .rate = 500, .rate_end = 100, .duration = 10s});
  EXPECT_NEAR(static_cast<double>(down.size()), 3'000, 1);
  EXPECT_NEAR(static_cast<double>(CountIn(down, 9, 10)), 120, 2);
}

TEST(ArrivalsTest, StepsAreConstantEach) {
  const ArrivalPlan plan{
      .kind = ArrivalKind::kStep, .rate = 100, .rate_end = 1'000, .duration = 10s};
  const auto times = All(plan);
  EXPECT_NEAR(static_cast<double>(times.size()), plan.Count(), 1);
  for (int step = 0; step < ArrivalPlan::kSteps; ++step) {
    EXPECT_NEAR(static_cast<double>(CountIn(times, step, step + 1)), 100 * (step + 1), 1) << step;
    EXPECT_NEAR(static_cast<double>(CountIn(times, step, step + 0.5)), 50 * (step + 1), 1) << step;
  }
}

TEST(ArrivalsTest, ASurgeIsTheSecondThird) {
  const ArrivalPlan plan{
      .kind = ArrivalKind::kSurge, .rate = 100, .rate_end = 1'000, .duration = 9s};
  const auto times = All(plan);
  EXPECT_NEAR(static_cast<double>(times.size()), plan.Count(), 1);
  for (int second = 0; second < 9; ++second) {
    const double rate = second >= 3 && second < 6 ? 1'000 : 100;
    EXPECT_NEAR(static_cast<double>(CountIn(times, second, second + 1)), rate, 1) << second;
  }
}

TEST(ArrivalsTest, BurstsComeTogetherAndKeepTheRate) {
  const auto times = All({.kind = ArrivalKind::kBurst, .rate = 100, .burst = 50, .duration = 10s});
  ASSERT_EQ(times.size(), 1'000u);
  EXPECT_EQ(CountIn(times, 0, 0.001), 50);
  EXPECT_EQ(CountIn(times, 0.001, 0.499), 0);
  EXPECT_EQ(CountIn(times, 0.499, 0.501), 50);
}

TEST(OperationMixTest, DrawsByWeight) {
  const auto mix = OperationMix::Parse("home=60,profile=30,post=10");
  ASSERT_TRUE(mix.ok()) << mix.status();
  EXPECT_DOUBLE_EQ(mix->ShareOf(Operation::kHomePage), 0.6);
  Random random(1);
  std::array<int, kOperations> drawn{};
  for (int i = 0; i < 100'000; ++i) {
    ++drawn[static_cast<size_t>(mix->Draw(random))];
  }
  EXPECT_NEAR(drawn[static_cast<size_t>(Operation::kHomePage)], 60'000, 1'000);
  EXPECT_NEAR(drawn[static_cast<size_t>(Operation::kProfilePage)], 30'000, 1'000);
  EXPECT_NEAR(drawn[static_cast<size_t>(Operation::kPost)], 10'000, 1'000);
  EXPECT_EQ(drawn[static_cast<size_t>(Operation::kGroupPage)], 0);
}

TEST(OperationMixTest, SaysWhichPartIsWrong) {
  auto error = [](std::string_view text) {
    return base::MessageOf(OperationMix::Parse(text).status());
  };
  EXPECT_THAT(error("hoem=60"), HasSubstr("\"hoem=60\": begins with none of"));
  EXPECT_THAT(error("home=60,"), HasSubstr("\"\": begins with none of"));
  EXPECT_THAT(error("home"), HasSubstr("\"home\": needs a weight from 0"));
  EXPECT_THAT(error("home=-1"), HasSubstr("\"home=-1\": needs a weight"));
  EXPECT_THAT(error("home=1,home=2"), HasSubstr("\"home=2\": is given twice"));
  EXPECT_THAT(error("home=0"), HasSubstr("all weights are 0"));
  EXPECT_THAT(error(""), HasSubstr("begins with none of"));
}

}  // namespace
}  // namespace klatch::load
