// What one thread can see of timeline rings and their arena. The races are in tests/stress.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "common/lockfree/timeline_ring.h"

namespace klatch::lockfree {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr size_t kArenaBytes = size_t{2} << 20;

TimelineEntry EntryOf(uint64_t id) {
  return {id, static_cast<uint32_t>(id * 3), static_cast<uint32_t>(id * 7)};
}

class TimelineRingTest : public ::testing::Test {
 protected:
  void AppendAll(uint64_t from, uint64_t to) {
    for (uint64_t id = from; id < to; ++id) {
      ASSERT_EQ(ring_.Append(arena_, EntryOf(id)), AppendResult::kOk) << id;
    }
  }
  void FlushAll() {
    std::vector<TimelineEntry> entries;
    ring_.MarkFlushed(ring_.CopyUnflushed(arena_, entries));
  }
  // Ids of the newest n.
  std::vector<uint64_t> Newest(size_t n_max) {
    std::vector<TimelineEntry> entries;
    EXPECT_TRUE(ring_.CopyNewest(arena_, entries, n_max, &floor_));
    std::vector<uint64_t> ids;
    for (const TimelineEntry& entry : entries) {
      EXPECT_EQ(entry, EntryOf(entry.id));
      ids.push_back(entry.id);
    }
    return ids;
  }
  // Leaves room for blocks of 16 entries, `blocks` of them.
  void ExhaustArena(size_t blocks) {
    const size_t left = blocks * 16 * kTimelineEntryBytes;
    while (arena_.bytes_max() - arena_.bytes_used() > left) {
      ASSERT_TRUE(arena_.Allocate(RingClass::k16).has_value());
    }
  }

  RingArena arena_{kArenaBytes};
  TimelineRing ring_;
  uint64_t floor_ = 0;
};

TEST_F(TimelineRingTest, ContainsWhatItHoldsAndNothingElse) {
  EXPECT_FALSE(ring_.Contains(arena_, 1));
  EXPECT_FALSE(ring_.Contains(arena_, 0));
  AppendAll(1, 41);  // grown once
  EXPECT_TRUE(ring_.Contains(arena_, 1));
  EXPECT_TRUE(ring_.Contains(arena_, 40));
  EXPECT_FALSE(ring_.Contains(arena_, 41));
  FlushAll();
  AppendAll(41, 400);
  EXPECT_TRUE(ring_.Contains(arena_, 399));
  EXPECT_FALSE(ring_.Contains(arena_, 1)) << "overwritten";
}

TEST_F(TimelineRingTest, IsEmptyAndComplainsOfNothingBeforeTheFirstAppend) {
  EXPECT_THAT(Newest(10), IsEmpty());
  EXPECT_EQ(floor_, 0u);
  EXPECT_EQ(ring_.head(), 0u);
  EXPECT_EQ(ring_.Unflushed(), 0u);
  EXPECT_EQ(arena_.bytes_used(), 0u);
}

TEST_F(TimelineRingTest, CopiesTheNewestInTheOrderOfAppending) {
  for (const uint64_t id : {50, 20, 90, 10}) {
    ring_.Append(arena_, EntryOf(id));
  }
  EXPECT_THAT(Newest(3), ElementsAre(20, 90, 10));
  EXPECT_THAT(Newest(100), ElementsAre(50, 20, 90, 10));
  EXPECT_THAT(Newest(0), IsEmpty());
  EXPECT_EQ(floor_, 0u);
}

TEST_F(TimelineRingTest, GrowsFourfoldAndKeepsEverything) {
  AppendAll(1, 17);
  EXPECT_EQ(arena_.bytes_used(), 16u * 16);
  AppendAll(17, 18);
  EXPECT_EQ(arena_.bytes_used(), 64u * 16) << "the outgrown block is given back";
  AppendAll(18, 257);
  EXPECT_EQ(arena_.bytes_used(), 256u * 16);
  const std::vector<uint64_t> ids = Newest(1000);
  ASSERT_EQ(ids.size(), 256u);
  EXPECT_EQ(ids.front(), 1u);
  EXPECT_EQ(ids.back(), 256u);
  EXPECT_EQ(floor_, 0u);
}

TEST_F(TimelineRingTest, KeepsTheNewest256WhenTheOldestIsFlushed) {
  AppendAll(1, 257);
  FlushAll();
  AppendAll(257, 301);
  const std::vector<uint64_t> ids = Newest(1000);
  EXPECT_EQ(ids.size(), 256u);
  EXPECT_EQ(ids.front(), 45u);
  EXPECT_EQ(floor_, 44u);
  EXPECT_EQ(ring_.size(), 256u);
  EXPECT_EQ(ring_.head(), 300u);
  EXPECT_EQ(arena_.bytes_used(), 256u * 16);
}

TEST_F(TimelineRingTest, FloorIsTheGreatestIdThatLeftNotTheLast) {
  ring_.Append(arena_, EntryOf(5'000));
  ring_.Append(arena_, EntryOf(3));
  AppendAll(10, 264);
  FlushAll();
  AppendAll(6'000, 6'002);
  EXPECT_EQ(Newest(1000).front(), 10u);
  EXPECT_EQ(floor_, 5'000u);
}

TEST_F(TimelineRingTest, GrowsTo1024OnlyWhileTheOldestIsNotFlushed) {
  AppendAll(1, 1025);
  EXPECT_EQ(arena_.bytes_used(), 1024u * 16);
  EXPECT_EQ(ring_.Unflushed(), 1024u);
  EXPECT_EQ(Newest(2000).size(), 1024u);
  EXPECT_EQ(floor_, 0u);
}

TEST_F(TimelineRingTest, DropsTheNewEntryWhenTheOldestOf1024IsNotFlushed) {
  AppendAll(1, 1025);
  EXPECT_EQ(ring_.Append(arena_, EntryOf(7'000)), AppendResult::kDropped);
  EXPECT_EQ(Newest(2000).back(), 1024u);
  EXPECT_EQ(floor_, 7'000u);
  EXPECT_EQ(ring_.head(), 1024u);
  FlushAll();
  EXPECT_EQ(ring_.Append(arena_, EntryOf(7'001)), AppendResult::kOk);
  EXPECT_EQ(Newest(1).front(), 7'001u);
}

TEST_F(TimelineRingTest, DropsTheFirstEntryWhenTheArenaIsFull) {
  ExhaustArena(0);
  EXPECT_EQ(ring_.Append(arena_, EntryOf(9)), AppendResult::kDropped);
  EXPECT_THAT(Newest(10), IsEmpty());
  EXPECT_EQ(floor_, 9u);
}

TEST_F(TimelineRingTest, OverwritesWhatIsFlushedAtASmallSizeWhenTheArenaIsFull) {
  ExhaustArena(1);
  AppendAll(1, 17);
  EXPECT_EQ(ring_.Append(arena_, EntryOf(17)), AppendResult::kDropped);
  FlushAll();
  AppendAll(18, 20);
  EXPECT_EQ(Newest(100).size(), 16u);
  EXPECT_EQ(Newest(100).front(), 3u);
  EXPECT_EQ(floor_, 17u);
}

TEST_F(TimelineRingTest, CopiesForTheFlusherWhatIsNotMarkedYet) {
  AppendAll(1, 4);
  std::vector<TimelineEntry> entries;
  const uint64_t head = ring_.CopyUnflushed(arena_, entries);
  EXPECT_THAT(entries, ElementsAre(EntryOf(1), EntryOf(2), EntryOf(3)));
  AppendAll(4, 6);
  ring_.MarkFlushed(head);
  EXPECT_EQ(ring_.Unflushed(), 2u);
  EXPECT_EQ(ring_.CopyUnflushed(arena_, entries), 5u);
  EXPECT_THAT(entries, ElementsAre(EntryOf(4), EntryOf(5)));
}

TEST_F(TimelineRingTest, FloorIsRaisedAndNeverLowered) {
  ring_.RaiseFloor(100);
  ring_.RaiseFloor(40);
  EXPECT_EQ(ring_.floor(), 100u);
  Newest(1);
  EXPECT_EQ(floor_, 100u);
}

TEST_F(TimelineRingTest, RemembersItsDirtyEpoch) {
  EXPECT_EQ(ring_.dirty_epoch(), 0u);
  ring_.set_dirty_epoch(7);
  EXPECT_EQ(ring_.dirty_epoch(), 7u);
}

TEST(RingArenaTest, HandsOutBlocksThatDontOverlapUntilItsBound) {
  RingArena arena(kArenaBytes);
  std::set<uint64_t> starts;
  while (const auto offset = arena.Allocate(RingClass::k1024)) {
    starts.insert(*offset);
  }
  EXPECT_EQ(starts.size(), kArenaBytes / (1024 * kTimelineEntryBytes));
  uint64_t expected = 0;
  for (const uint64_t start : starts) {
    EXPECT_EQ(start, expected);
    expected += 1024 * kTimelineEntryBytes;
  }
  EXPECT_EQ(arena.bytes_used(), arena.bytes_max());
}

TEST(RingArenaTest, HandsOutAFreedBlockAgainForTheSameClass) {
  RingArena arena(kArenaBytes);
  const uint64_t first = arena.Allocate(RingClass::k64).value();
  const uint64_t second = arena.Allocate(RingClass::k64).value();
  arena.Free(first, RingClass::k64);
  arena.Free(second, RingClass::k64);
  EXPECT_EQ(arena.bytes_used(), 0u);
  EXPECT_NE(arena.Allocate(RingClass::k16), first);
  EXPECT_EQ(arena.Allocate(RingClass::k64), second);
  EXPECT_EQ(arena.Allocate(RingClass::k64), first);
}

TEST(RingArenaTest, RefusesEverythingWhenTheRangeCantBeReserved) {
  RingArena arena(size_t{1} << 60);
  EXPECT_EQ(arena.bytes_max(), 0u);
  EXPECT_FALSE(arena.Allocate(RingClass::k16).has_value());
}

}  // namespace
}  // namespace klatch::lockfree
