// What a group keeps no longer, from its bounds, the time and its feed.

#include "services/log/retention_plan.h"

#include <gtest/gtest.h>

#include <vector>

namespace klatch {
namespace {

using std::chrono::milliseconds;

constexpr ShardIndex kShard(3);
constexpr ShardIndex kOtherShard(5);

Position At(uint64_t ms) { return Position(ms, kShard, 0); }

FeedItem Own(uint64_t ms, uint64_t bytes = 100) { return {UpdateId(ms, kShard, 0), At(ms), bytes}; }
// Of several groups: here since `ms`, posted a while before. `is_known`: whether its carry is there.
FeedItem Carried(uint64_t ms, bool is_known = true) {
  return {UpdateId(ms - 5, kOtherShard, 0), is_known ? std::optional(At(ms)) : std::nullopt, 100};
}

Position Since(const GroupRetention& bounds, const std::vector<FeedItem>& items,
               uint64_t now_ms = 1'000'000, Position kept_since = Position()) {
  return KeptSince(bounds, items, kShard, kEpochUnixMs + static_cast<int64_t>(now_ms), kept_since);
}

TEST(RetentionPlanTest, WithoutABoundEverythingStays) {
  EXPECT_EQ(Since({}, {Own(10), Own(20)}), Position());
  EXPECT_FALSE(GroupRetention().is_bounded());
}

TEST(RetentionPlanTest, AgeKeepsWhatIsYoungerAndWhatIsExactlyAsOld) {
  const GroupRetention bounds{.age = milliseconds(100)};
  EXPECT_EQ(Since(bounds, {Own(10), Own(20)}, 110), Position());
  EXPECT_EQ(Since(bounds, {Own(10), Own(20)}, 111), At(11));
  EXPECT_EQ(Since(bounds, {Own(10), Own(20)}, 5'000), At(4'900));
  EXPECT_EQ(Since(bounds, {Own(10)}, 50), Position()) << "of a time before the epoch of positions";
}

TEST(RetentionPlanTest, CountKeepsTheNewestSoMany) {
  const GroupRetention bounds{.count = 2};
  EXPECT_EQ(Since(bounds, {Own(10), Own(20)}), Position());
  EXPECT_EQ(Since(bounds, {Own(10), Own(20), Own(30)}), At(20));
  EXPECT_EQ(Since(bounds, {Own(10), Carried(20), Own(30)}), At(20));
  // Where the second newest stands is not known any more: it is gone, so the next newer one counts.
  EXPECT_EQ(Since(bounds, {Own(10), Carried(20, false), Own(30)}), At(30));
}

TEST(RetentionPlanTest, BytesKeepTheNewestThatFitAndAlwaysTheVeryNewest) {
  const GroupRetention bounds{.bytes = 250};
  EXPECT_EQ(Since(bounds, {Own(10), Own(20)}), Position());
  EXPECT_EQ(Since(bounds, {Own(10), Own(20), Own(30)}), At(20));
  EXPECT_EQ(Since(bounds, {Own(10), Own(20, 50), Own(30)}), Position());
  EXPECT_EQ(Since(bounds, {Own(10), Own(20), Own(30, 10'000)}), At(30));
  // Nothing that fits stays behind one that doesn't: the past has one beginning.
  EXPECT_EQ(Since(bounds, {Own(10, 1), Own(20, 1'000), Own(30)}), At(30));
}

TEST(RetentionPlanTest, TheTightestBoundCounts) {
  const std::vector<FeedItem> items = {Own(10), Own(20), Own(30), Own(40)};
  EXPECT_EQ(Since({.age = milliseconds(75), .count = 3, .bytes = 200}, items, 110), At(35));
  EXPECT_EQ(Since({.age = milliseconds(95), .count = 3, .bytes = 200}, items, 110), At(30));
  EXPECT_EQ(Since({.age = milliseconds(95), .count = 1, .bytes = 200}, items, 110), At(40));
}

TEST(RetentionPlanTest, WhatIsGoneAlreadyMakesNoRecordAndNeverComesBack) {
  const std::vector<FeedItem> items = {Own(10), Own(20), Own(30)};
  EXPECT_EQ(Since({.count = 2}, items, 1'000, At(20)), At(20));
  EXPECT_EQ(Since({.count = 3}, items, 1'000, At(20)), At(20));
  EXPECT_EQ(Since({}, items, 1'000, At(20)), At(20));
  // The bound of age moves on with the clock, but nothing has aged since.
  EXPECT_EQ(Since({.age = milliseconds(100)}, items, 115, At(12)), At(12));
  EXPECT_EQ(Since({.age = milliseconds(100)}, items, 121, At(12)), At(21));
}

TEST(RetentionPlanTest, CountsTheBeginningThatIsGone) {
  const std::vector<FeedItem> items = {Own(10), Carried(20, false), Own(30)};
  EXPECT_EQ(CountGone(items, kShard, Position()), 0u);
  EXPECT_EQ(CountGone(items, kShard, At(10)), 0u);
  EXPECT_EQ(CountGone(items, kShard, At(30)), 2u);
  EXPECT_EQ(CountGone(items, kShard, At(31)), 3u);
}

TEST(RetentionPlanTest, OfTwoBoundsTheTighterOneHoldsAndNoneIsNone) {
  const GroupRetention own{.age = milliseconds(10), .count = 0, .bytes = 500};
  const GroupRetention of_namespace{.age = milliseconds(0), .count = 7, .bytes = 300};
  const GroupRetention both{.age = milliseconds(10), .count = 7, .bytes = 300};
  EXPECT_EQ(Tighter(own, of_namespace), both);
  EXPECT_EQ(Tighter(of_namespace, own), both);
  EXPECT_EQ(Tighter({}, {}), GroupRetention());
}

}  // namespace
}  // namespace klatch
