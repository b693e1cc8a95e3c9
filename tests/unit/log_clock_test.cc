#include "services/log/log_clock.h"

#include <gtest/gtest.h>

#include "manual_clock.h"

namespace klatch {
namespace {

using std::chrono::milliseconds;

Position At(uint64_t ms) { return {ms, ShardIndex(3), 7}; }

class LogClockTest : public testing::Test {
 protected:
  ManualClock time_;
  LogClock clock_{time_};
};

TEST_F(LogClockTest, KnowsNothingAtFirst) {
  EXPECT_EQ(clock_.Present(0), 0);
  EXPECT_EQ(clock_.Present(1'000), 1'000);
  EXPECT_EQ(clock_.Argument(ShardIndex(5)), "5");
}

TEST_F(LogClockTest, NeverExceedsAClockThatGoesOn) {
  for (uint64_t now = 1'000'000; now < 1'010'000; now += 7) {
    EXPECT_EQ(clock_.Present(now), now);
    clock_.Note(At(now));
    time_.Advance(milliseconds(7));
  }
}

TEST_F(LogClockTest, GoesOnWhenAClockGoesBackUntilItCatchesUp) {
  clock_.Note(At(8'600'000));
  clock_.Note(At(5'000'000));
  EXPECT_EQ(clock_.Present(5'000'000), 8'600'000);
  EXPECT_EQ(clock_.Argument(ShardIndex(5)), "8806400005");
  time_.Advance(milliseconds(1'600));
  EXPECT_EQ(clock_.Present(5'001'600), 8'601'500);
  clock_.Note(At(8'601'500));
  time_.Advance(milliseconds(16 * 3'600'000));
  EXPECT_EQ(clock_.Present(5'001'600 + 16 * 3'600'000), 5'001'600 + 16 * 3'600'000);
}

TEST_F(LogClockTest, FollowsNoLogThatIsMoreThanADayAhead) {
  clock_.Note(At(1'000 + LogClock::kAheadMaxMs));
  EXPECT_EQ(clock_.Present(1'000), 1'000 + LogClock::kAheadMaxMs);
  EXPECT_EQ(clock_.Present(999), 999);
}

}  // namespace
}  // namespace klatch
