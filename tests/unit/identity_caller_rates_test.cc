// Buckets: bursts, the rate behind them, and who shares with whom.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "manual_clock.h"
#include "services/identity/caller_rates.h"

namespace klatch {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

class CallerRatesTest : public ::testing::Test {
 protected:
  static int Passes(CallerRates& rates, const std::string& caller, int tries) {
    int passed = 0;
    for (int i = 0; i < tries; ++i) {
      passed += rates.Take(caller, 1).ok() ? 1 : 0;
    }
    return passed;
  }

  ManualClock clock_;
  CallerRates rates_{{.per_second = 10, .burst = 100}, clock_};
};

TEST_F(CallerRatesTest, ABurstPassesAndThenTheRate) {
  EXPECT_EQ(Passes(rates_, "ann", 150), 100);
  EXPECT_EQ(rates_.refused(), 50u);
  clock_.Advance(milliseconds(99));
  EXPECT_EQ(Passes(rates_, "ann", 2), 0);
  clock_.Advance(milliseconds(1));
  EXPECT_EQ(Passes(rates_, "ann", 2), 1);
  clock_.Advance(milliseconds(1'000));
  EXPECT_EQ(Passes(rates_, "ann", 20), 10);
  clock_.Advance(milliseconds(3'600'000));
  EXPECT_EQ(Passes(rates_, "ann", 150), 100) << "no more than a burst is saved up";
}

TEST_F(CallerRatesTest, OthersAreNotRefused) {
  EXPECT_EQ(Passes(rates_, "ann", 150), 100);
  EXPECT_EQ(Passes(rates_, "bob", 150), 100);
}

TEST_F(CallerRatesTest, SeveralPassTogetherOrNotAtAll) {
  ASSERT_TRUE(rates_.Take("ann", 60).ok());
  const absl::Status refused = rates_.Take("ann", 60);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(refused.ToString(), HasSubstr("RATE_LIMITED"));
  EXPECT_TRUE(rates_.Take("ann", 40).ok());
  clock_.Advance(milliseconds(6'000));
  EXPECT_TRUE(rates_.Take("ann", 60).ok());
}

TEST_F(CallerRatesTest, WithoutABoundAllPass) {
  CallerRates none({}, clock_);
  EXPECT_EQ(Passes(none, "ann", 1'000), 1'000);
  EXPECT_EQ(none.refused(), 0u);
}

// More callers than there is room for: who was refused is not forgotten for those who hardly call.
TEST_F(CallerRatesTest, ACrowdDoesNotSetAFlooderFree) {
  ASSERT_EQ(Passes(rates_, "ann", 150), 100);
  for (int i = 0; i < 200'000; ++i) {
    ASSERT_TRUE(rates_.Take(fmt::format("caller {}", i), 1).ok());
  }
  EXPECT_EQ(Passes(rates_, "ann", 10), 0);
}

TEST_F(CallerRatesTest, ThreadsShareABucket) {
  std::atomic<int> passed{0};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] { passed += Passes(rates_, "ann", 1'000); });
    }
  }
  EXPECT_EQ(passed, 100);
}

}  // namespace
}  // namespace klatch
