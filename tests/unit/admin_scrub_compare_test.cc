#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/bytes.h"
#include "services/admin/scrub_compare.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const GroupId kHiking("hiking");

class ScrubCompareTest : public ::testing::Test {
 protected:
  ScrubCompareTest() : index_(*groups_.FindOrAdd(kHiking)) {}

  Position At(uint64_t ms) const { return Position(ms, layout_.ShardOf(kHiking), 0); }
  Stay Member(uint64_t ms, Role role = Role::kMember) const { return {role, At(ms), At(ms)}; }
  std::string View(const Stay& stay) const {
    std::string view = EncodeStay(stay);
    base::AppendLittleEndian<uint64_t>(view, stay.joined.value());
    return view;
  }
  Membership Memory(const Stay& stay) const { return {index_, stay, At(9)}; }
  std::optional<Found> Compare(const ThreeViews& views) const {
    return CompareViews(views, At(100), groups_, layout_);
  }

  const Layout layout_;
  GroupDirectory groups_{layout_, 10};
  const GroupIndex index_;
};

TEST_F(ScrubCompareTest, ThreeThatAgreeAreNoFinding) {
  const Stay stay = Member(5);
  EXPECT_FALSE(Compare({kHiking, EncodeStay(stay), Memory(stay), View(stay)}));
  EXPECT_FALSE(Compare({kHiking, "", std::nullopt, std::nullopt}));
  // Tombstones, in memory and stored, say the same as nothing.
  EXPECT_FALSE(Compare({kHiking, "", Memory(Stay()), View(Stay())}));
}

TEST_F(ScrubCompareTest, EachDifferenceHasItsName) {
  const Stay stay = Member(5);
  const Stay other = Member(6);
  struct Case {
    ThreeViews views;
    v1::FindingKind kind;
    bool in_memory;
  };
  const Case cases[] = {
      {{kHiking, EncodeStay(stay), Memory(stay), std::nullopt},
       v1::FINDING_KIND_VIEW_MISSING,
       false},
      {{kHiking, EncodeStay(stay), std::nullopt, std::nullopt},
       v1::FINDING_KIND_VIEW_MISSING,
       true},
      {{kHiking, EncodeStay(stay), std::nullopt, View(stay)}, v1::FINDING_KIND_VIEW_MISSING, true},
      {{kHiking, "", Memory(stay), View(stay)}, v1::FINDING_KIND_VIEW_STRAY, true},
      {{kHiking, "", std::nullopt, View(stay)}, v1::FINDING_KIND_VIEW_STRAY, false},
      {{kHiking, EncodeStay(stay), Memory(other), View(other)},
       v1::FINDING_KIND_VIEW_DIFFERS,
       true},
      {{kHiking, EncodeStay(stay), Memory(stay), View(other)},
       v1::FINDING_KIND_VIEW_DIFFERS,
       false},
      {{kHiking, EncodeStay(stay), Memory(stay), "?"}, v1::FINDING_KIND_UNREADABLE, false}};
  for (const Case& one : cases) {
    const std::optional<Found> found = Compare(one.views);
    ASSERT_TRUE(found.has_value()) << one.kind;
    EXPECT_EQ(found->finding.kind(), one.kind);
    EXPECT_EQ(found->finding.in_memory(), one.in_memory) << one.kind;
    EXPECT_EQ(found->finding.group(), "hiking");
    ASSERT_TRUE(found->stay.has_value());
    EXPECT_EQ(found->stay->stay, one.views.members.empty() ? Stay() : stay);
    EXPECT_EQ(found->stay->seen, At(100));
    EXPECT_EQ(found->stay->shard, layout_.ShardOf(kHiking));
  }
}

TEST_F(ScrubCompareTest, AGroupThatTheNodeHasNeverSeenCanNotBeMended) {
  const std::optional<Found> found =
      Compare({GroupId("unseen"), "", std::nullopt, View(Member(5))});
  ASSERT_TRUE(found.has_value());
  EXPECT_FALSE(found->stay.has_value());
}

TEST_F(ScrubCompareTest, WhatIsSeenByOthersTheSecondTimeIsAnotherFinding) {
  const ThreeViews first = {kHiking, EncodeStay(Member(5)), std::nullopt, std::nullopt};
  const ThreeViews later = {kHiking, EncodeStay(Member(7)), std::nullopt, std::nullopt};
  EXPECT_TRUE(Compare(first)->SameAs(*Compare(first)));
  EXPECT_FALSE(Compare(first)->SameAs(*Compare(later)));
}

TEST_F(ScrubCompareTest, CopiesThatAreDueAppliedAndAmongTheNewestAreMissing) {
  std::vector<Position> written(layout_.shard_count, At(50));
  const std::vector<uint64_t> feed = {At(3).value(), At(20).value(), At(30).value(), At(40).value(),
                                      At(60).value()};
  const std::vector<DueFeed> feeds = {{&kHiking, &feed, Member(10)}};
  // 3 is from before the joining, 60 is not applied yet.
  EXPECT_THAT(
      MissingCopies(feeds, {At(30).value()}, written),
      ElementsAre(std::pair(At(40).value(), &kHiking), std::pair(At(20).value(), &kHiking)));
  EXPECT_THAT(MissingCopies(feeds, {At(20).value(), At(30).value(), At(40).value()}, written),
              IsEmpty());
  EXPECT_THAT(MissingCopies({}, {}, written), IsEmpty());
}

TEST_F(ScrubCompareTest, WhatLiesBeyondTheCapIsNotMissing) {
  std::vector<Position> written(layout_.shard_count, At(10'000));
  std::vector<uint64_t> stored;
  for (uint64_t ms = 1'000; ms < 1'000 + limits::kTimelineCap - 1; ++ms) {
    stored.push_back(At(ms).value());
  }
  const std::vector<uint64_t> feed = {At(20).value(), At(30).value()};
  const std::vector<DueFeed> feeds = {{&kHiking, &feed, Member(10)}};
  EXPECT_THAT(MissingCopies(feeds, stored, written),
              ElementsAre(std::pair(At(30).value(), &kHiking)));
  stored.push_back(At(5'000).value());
  EXPECT_THAT(MissingCopies(feeds, stored, written), IsEmpty());
}

}  // namespace
}  // namespace klatch
