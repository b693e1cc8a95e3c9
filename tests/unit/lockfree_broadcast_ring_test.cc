// What one thread can see of broadcast rings and doorbells. The races are in tests/stress.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "common/lockfree/broadcast_ring.h"

namespace klatch::lockfree {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

class BroadcastRingTest : public ::testing::Test {
 protected:
  void Send(const std::string& text) {
    std::string* slot = ring_.TryClaim();
    ASSERT_NE(slot, nullptr);
    *slot = text;
    ring_.Publish();
  }
  std::vector<std::string> Receive(size_t consumer, size_t max = 100) {
    std::vector<std::string> items;
    const size_t count = ring_.Poll(
        consumer, [&](const std::string& item) { items.push_back(item); }, max);
    EXPECT_EQ(count, items.size());
    return items;
  }

  BroadcastRing<std::string> ring_{3, 2};
};

TEST_F(BroadcastRingTest, RoundsItsSlotsUpToAPowerOfTwo) { EXPECT_EQ(ring_.slots(), 4u); }

TEST_F(BroadcastRingTest, EachConsumerGetsEachItem) {
  Send("a");
  Send("b");
  EXPECT_THAT(Receive(0), ElementsAre("a", "b"));
  EXPECT_THAT(Receive(0), IsEmpty());
  EXPECT_THAT(Receive(1, 1), ElementsAre("a"));
  EXPECT_THAT(Receive(1, 1), ElementsAre("b"));
}

TEST_F(BroadcastRingTest, ShowsNothingOfABatchBeforeItIsPublished) {
  *ring_.TryClaim() = "a";
  *ring_.TryClaim() = "b";
  EXPECT_THAT(Receive(0), IsEmpty());
  ring_.Publish();
  EXPECT_THAT(Receive(0), ElementsAre("a", "b"));
  EXPECT_EQ(ring_.published(), 2u);
}

TEST_F(BroadcastRingTest, RefusesToClaimWhileTheSlowestIsARingBehind) {
  for (const char* text : {"a", "b", "c", "d"}) {
    Send(text);
  }
  Receive(0);
  EXPECT_EQ(ring_.TryClaim(), nullptr);
  EXPECT_FALSE(ring_.WaitForRoom(1ms));
  EXPECT_THAT(Receive(1, 1), ElementsAre("a"));
  EXPECT_TRUE(ring_.WaitForRoom(1ms));
  Send("e");
  EXPECT_EQ(ring_.TryClaim(), nullptr);
  EXPECT_THAT(Receive(1), ElementsAre("b", "c", "d", "e"));
}

TEST_F(BroadcastRingTest, ReusesAnItemInPlaceAfterALap) {
  const std::string long_text(100, 'x');
  Send(long_text);
  for (const char* text : {"b", "c", "d"}) {
    Send(text);
  }
  Receive(0);
  Receive(1);
  const std::string* slot = ring_.TryClaim();
  ASSERT_NE(slot, nullptr);
  EXPECT_EQ(*slot, long_text);
}

TEST_F(BroadcastRingTest, WaitingForItemsEndsWithTheTimeoutOrAtOnce) {
  EXPECT_FALSE(ring_.WaitForItems(0, 1ms));
  Send("a");
  EXPECT_TRUE(ring_.WaitForItems(0, std::chrono::hours(1)));
}

TEST(DoorbellTest, ARingBeforeTheWaitIsNotLost) {
  Doorbell bell;
  const uint32_t seen = bell.Seen();
  bell.Ring();
  EXPECT_TRUE(bell.WaitFor(seen, std::chrono::hours(1)));
}

TEST(DoorbellTest, WaitEndsWithItsTimeoutWhenNobodyRings) {
  Doorbell bell;
  bell.Ring();
  EXPECT_FALSE(bell.WaitFor(bell.Seen(), 1ms));
  EXPECT_FALSE(bell.WaitFor(bell.Seen(), 0ms));
}

}  // namespace
}  // namespace klatch::lockfree
