// How it is decided, known and read that a group is pulled.

#include "services/model/delivery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "klatch/v1/log_record.pb.h"
#include "services/deliver/event.h"
#include "services/model/limits.h"
#include "services/persons/group_directory.h"
#include "services/persons/group_sizes.h"
#include "services/read/feed_merge.h"

namespace klatch {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::UnorderedElementsAre;

constexpr uint64_t kMinuteMs = 60'000;

TEST(PullThresholdsTest, CopiesAgainBelowFourFifths) {
  EXPECT_EQ(PullThresholds{10'000}.Least(), 8'000u);
  EXPECT_EQ(PullThresholds{3}.Least(), 3u) << "2 is below 2.4, 3 is not";
  EXPECT_EQ(PullThresholds{1}.Least(), 1u);
}

class DeliveryTest : public testing::Test {
 protected:
  static Position At(uint64_t ms, uint32_t shard = 0) { return Position(ms, ShardIndex(shard), 0); }

  const Layout layout_;
  GroupDirectory groups_{layout_, 10};
  const GroupIndex group_ = *groups_.FindOrAdd(GroupId("g"));
};

TEST_F(DeliveryTest, MarkStaysWhenASwitchCameBehindWhatWasForgotten) {
  EXPECT_TRUE(groups_.FeedMark(group_).is_zero());
  groups_.NoteDelivery(group_, At(5), true);
  EXPECT_EQ(groups_.pulled(), 1u);
  groups_.NoteDelivery(group_, At(9), false);
  EXPECT_EQ(groups_.pulled(), 0u);
  EXPECT_EQ(groups_.FeedMark(group_), At(9)) << "what was not copied is in the feed still";
  groups_.ForgetFeed(group_, At(8));
  EXPECT_EQ(groups_.FeedMark(group_), At(9));
  groups_.ForgetFeed(group_, At(9));
  EXPECT_TRUE(groups_.FeedMark(group_).is_zero());
}

TEST_F(DeliveryTest, ReplayOfAnOlderSwitchChangesNothing) {
  groups_.NoteDelivery(group_, At(9), true);
  groups_.NoteDelivery(group_, At(5), false);
  EXPECT_EQ(groups_.FeedMark(group_), At(9));
  EXPECT_EQ(groups_.pulled(), 1u);
}

TEST_F(DeliveryTest, SwitchIsKnownToReadersOnceItIsDecoded) {
  LogEntry entry;
  entry.position = At(7);
  entry.record.set_group("g");
  entry.record.mutable_delivery_switched()->set_pulled(true);
  Event event;
  ASSERT_TRUE(DecodeEvent(entry, layout_, groups_, event).ok());
  EXPECT_EQ(event.kind, Event::Kind::kDeliverySwitched);
  EXPECT_EQ(event.group, group_);
  EXPECT_TRUE(event.is_pulled);
  EXPECT_EQ(groups_.FeedMark(group_), At(7));
}

TEST_F(DeliveryTest, GroupCrossesUpwardsAndWhilePulledDownwards) {
  GroupSizes sizes(groups_, {.above = 5});  // and copied again below 4
  for (int i = 0; i < 5; ++i) {
    sizes.Add(group_);
  }
  EXPECT_THAT(sizes.TakeCrossed(), IsEmpty());
  sizes.Add(group_);
  EXPECT_THAT(sizes.TakeCrossed(), ElementsAre(group_));
  sizes.Add(group_);
  EXPECT_THAT(sizes.TakeCrossed(), IsEmpty());
  sizes.Remove(group_, 4);
  EXPECT_THAT(sizes.TakeCrossed(), IsEmpty()) << "it is not pulled as far as is known";
  sizes.Add(group_);
  groups_.NoteDelivery(group_, At(1), true);
  sizes.Remove(group_, 1);
  EXPECT_THAT(sizes.TakeCrossed(), ElementsAre(group_));
  sizes.Remove(group_, 3);
  EXPECT_THAT(sizes.TakeCrossed(), IsEmpty()) << "it has crossed before";
}

TEST_F(DeliveryTest, NoGroupCrossesWhenNoneIsPulled) {
  GroupSizes sizes(groups_, {.above = 0});
  sizes.Add(group_);
  sizes.Remove(group_, 1);
  EXPECT_THAT(sizes.TakeCrossed(), IsEmpty());
}

TEST_F(DeliveryTest, FeedHoldsForAMemberWhatCameSinceTheJoining) {
  const PulledFeed of{GroupId("g"), ShardIndex(0), At(100 * kMinuteMs)};
  const DueIds due = DueOf({At(99 * kMinuteMs), At(100 * kMinuteMs), At(101 * kMinuteMs)}, of,
                           At(200 * kMinuteMs));
  EXPECT_THAT(due.due, UnorderedElementsAre(At(100 * kMinuteMs), At(101 * kMinuteMs)));
  EXPECT_FALSE(due.is_cut);
}

TEST_F(DeliveryTest, FeedHoldsNothingOfItsShardBeyondWhatIsApplied) {
  const PulledFeed of{GroupId("g"), ShardIndex(0), At(1)};
  EXPECT_THAT(DueOf({At(5), At(6)}, of, At(5)).due, ElementsAre(At(5)));
  EXPECT_THAT(DueOf({At(6, 1)}, of, At(5)).due, ElementsAre(At(6, 1)))
      << "its position in the group is the carry's, which may be applied";
}

TEST_F(DeliveryTest, CarryBehindTheJoiningOfAnIdBeforeItIsNotMissed) {
  const PulledFeed of{GroupId("g"), ShardIndex(0), At(100 * kMinuteMs)};
  const DueIds due = DueOf({At(89 * kMinuteMs, 1), At(91 * kMinuteMs, 1), At(91 * kMinuteMs)}, of,
                           At(200 * kMinuteMs));
  EXPECT_THAT(due.due, IsEmpty());
  EXPECT_THAT(due.perhaps, UnorderedElementsAre(At(91 * kMinuteMs, 1), At(91 * kMinuteMs)));
}

TEST_F(DeliveryTest, FeedFullOfWhatIsDueMayHaveHeldMore) {
  std::vector<UpdateId> feed;
  for (uint64_t i = 1; i <= limits::kStoredSlotsMax; ++i) {
    feed.push_back(At(i));
  }
  const PulledFeed whole{GroupId("g"), ShardIndex(0), At(1)};
  EXPECT_TRUE(DueOf(feed, whole, At(1'000)).is_cut);
  EXPECT_TRUE(DueOf(feed, whole, At(800)).is_cut)
      << "what is not applied yet has pushed out others";
  const PulledFeed part{GroupId("g"), ShardIndex(0), At(2)};
  EXPECT_FALSE(DueOf(feed, part, At(1'000)).is_cut) << "what is gone was before the joining";
}

TEST_F(DeliveryTest, WhatMayBeDueTakesNoPlaceOfWhatIs) {
  Candidates copies;
  for (uint64_t i = limits::kTimelineCap; i > 0; --i) {
    copies.timeline.ids.push_back(At(10 * i));
  }
  const std::vector<UpdateId> due = copies.timeline.ids;
  FeedMerge merge(std::move(copies));
  merge.Add({.due = {At(50)}, .perhaps = {At(5), At(15), At(25)}});
  merge.Add({.due = {At(60)}, .perhaps = {At(15), At(35)}});
  merge.Add({.due = {At(70)}, .perhaps = {}});
  const Candidates merged = merge.Take();
  EXPECT_THAT(merged.timeline.ids, IsSupersetOf(due));
  EXPECT_THAT(merged.timeline.ids, IsSupersetOf({At(15), At(25), At(35)}));
  EXPECT_EQ(merged.timeline.ids.size(), due.size() + 3)
      << "each once, and nothing older than the cap";
  EXPECT_TRUE(std::ranges::is_sorted(merged.timeline.ids, std::ranges::greater()));
  EXPECT_FALSE(merged.timeline.is_cut);
}

TEST_F(DeliveryTest, NewerOnesOfAFeedPushOutTheOldestAndWhatMayBeOlder) {
  Candidates copies;
  for (uint64_t i = limits::kTimelineCap; i > 0; --i) {
    copies.timeline.ids.push_back(At(10 * i));
  }
  FeedMerge merge(std::move(copies));
  merge.Add({.due = {}, .perhaps = {At(15)}});
  merge.Add({.due = {At(1'000'000)}, .perhaps = {}});
  const Candidates merged = merge.Take();
  EXPECT_EQ(merged.timeline.ids.size(), limits::kTimelineCap);
  EXPECT_EQ(merged.timeline.ids.front(), At(1'000'000));
  EXPECT_EQ(merged.timeline.ids.back(), At(20));
  EXPECT_TRUE(merged.timeline.is_cut);
}

}  // namespace
}  // namespace klatch
