// What blocks, mutes and hidden updates take off pages, and what counts as unread, over a world in
// memory.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/model/limits.h"
#include "tests/unit/read_world.h"

namespace klatch {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ReadPersonalTest : public ::testing::Test {
 protected:
  ReadPersonalTest() {
    for (const char* person : {"al", "bo", "cy"}) {
      for (const char* group : {"g", "h"}) {
        world_.SetMember(person, group, 100);
      }
    }
    world_.ApplyAll(900'000);
    from_bo_ = Deliver(1'000, "bo", "g");
    from_cy_ = Deliver(2'000, "cy", "g");
    in_h_ = Deliver(3'000, "cy", "h");
    own_ = Deliver(4'000, "al", "g");
  }

  uint64_t Deliver(uint64_t ms, const std::string& author, const std::string& group) {
    const UpdateId id = world_.IdAt(ms, group);
    world_.PutBody(id, author, group);
    world_.Deliver("al", id);
    world_.DeliverPost(author, id);
    return id.value();
  }
  template <typename Change>
  void ChangeState(const std::string& person, Change change) {
    ASSERT_TRUE(world_.personal.Admit(PersonId(person)));
    PersonalState state = world_.personal.Current(PersonId(person));
    change(state);
    world_.personal.Publish(PersonId(person), std::move(state));
  }
  std::vector<uint64_t> Home() { return IdsOf(*world_.Home("al", 10)); }
  std::vector<uint64_t> ProfileOf(const std::string& person) {
    return IdsOf(*world_.Profile("al", person, 10));
  }
  bool Gets(uint64_t id) { return world_.Get("al", UpdateId(id)).ok(); }
  absl::StatusOr<Unread> Count(const std::string& group, uint64_t above, size_t max = 1'000) {
    return RunToEnd(world_.reads.CountUnread(PersonId("al"), GroupId(group), UpdateId(above), max));
  }

  ReadWorld world_;
  uint64_t from_bo_ = 0;
  uint64_t from_cy_ = 0;
  uint64_t in_h_ = 0;
  uint64_t own_ = 0;
};

TEST_F(ReadPersonalTest, WithoutStateEverythingIsThere) {
  EXPECT_THAT(Home(), ElementsAre(own_, in_h_, from_cy_, from_bo_));
  EXPECT_THAT(ProfileOf("bo"), ElementsAre(from_bo_));
}

TEST_F(ReadPersonalTest, ABlockHidesOnEveryPageWhicheverWayItGoes) {
  for (const bool own : {true, false}) {
    ChangeState("al", [own](PersonalState& state) {
      state = {};
      (own ? state.blocks : state.blocked_by).Add("cy");
    });
    EXPECT_THAT(Home(), ElementsAre(own_, from_bo_));
    EXPECT_THAT(ProfileOf("cy"), IsEmpty());
    EXPECT_FALSE(Gets(from_cy_));
    EXPECT_TRUE(Gets(from_bo_));
  }
}

TEST_F(ReadPersonalTest, AProfileWithABlockBetweenSaysNoMoreThanThatOfAStranger) {
  world_.people.Add("cy").posts->RaiseFloor(from_bo_);
  world_.people.Add("cy").posts_hole_since = from_cy_;
  ChangeState("al", [](PersonalState& state) { state.blocked_by.Add("cy"); });
  // There are older posts in Redis, which isn't there to be asked.
  const auto blocked = world_.Profile("al", "cy", 1);
  const auto stranger = world_.Profile("al", "nobody", 1);
  ASSERT_TRUE(blocked.ok()) << blocked.status();
  ASSERT_TRUE(stranger.ok()) << stranger.status();
  EXPECT_EQ(blocked->SerializeAsString(), stranger->SerializeAsString());
}

TEST_F(ReadPersonalTest, MutesHideAtHomeOnly) {
  ChangeState("al", [](PersonalState& state) {
    state.muted_persons.Add("bo");
    state.muted_groups.Add("h");
  });
  EXPECT_THAT(Home(), ElementsAre(own_, from_cy_));
  EXPECT_THAT(ProfileOf("bo"), ElementsAre(from_bo_));
  EXPECT_THAT(ProfileOf("cy"), ElementsAre(in_h_, from_cy_));
  EXPECT_TRUE(Gets(from_bo_));
}

TEST_F(ReadPersonalTest, HiddenUpdatesAreOffEveryPageButCanBeAskedFor) {
  ChangeState("al", [this](PersonalState& state) { state.Hide(UpdateId(from_cy_)); });
  EXPECT_THAT(Home(), ElementsAre(own_, in_h_, from_bo_));
  EXPECT_THAT(ProfileOf("cy"), ElementsAre(in_h_));
  EXPECT_TRUE(Gets(from_cy_));
}

TEST_F(ReadPersonalTest, AuthorsSeeTheirOwnUpdatesWhateverStands) {
  ChangeState("al", [this](PersonalState& state) {
    state.muted_groups.Add("g");
    state.muted_persons.Add("al");
    state.Hide(UpdateId(own_));
  });
  EXPECT_THAT(Home(), ElementsAre(own_, in_h_));
}

TEST_F(ReadPersonalTest, WhatIsBlockedWhileAPageIsReadIsNotSent) {
  // The memberships are looked up before the page is examined and again before it is sent; the
  // block comes between.
  int finds = 0;
  for (int nth = 1; nth <= 12; ++nth) {
    ChangeState("al", [](PersonalState& state) { state = {}; });
    bool blocked = false;
    world_.AtLook(nth, [&] {
      ChangeState("al", [](PersonalState& state) { state.blocks.Add("cy"); });
      blocked = true;
    });
    const std::vector<uint64_t> page = Home();
    if (blocked) {
      ++finds;
      EXPECT_THAT(page, ::testing::Not(::testing::Contains(from_cy_))) << "at look-up " << nth;
    }
  }
  EXPECT_GE(finds, 3);
}

TEST_F(ReadPersonalTest, CountsWhatIsAboveTheMarkerAndVisibleWithoutOwnOnes) {
  EXPECT_EQ(Count("", 0)->count, 3U);
  EXPECT_FALSE(Count("", 0)->is_at_least);
  EXPECT_EQ(Count("", from_bo_)->count, 2U);
  EXPECT_EQ(Count("", in_h_)->count, 0U) << "the last one is the reader's own";
  EXPECT_EQ(Count("", own_ + 1)->count, 0U);
  ChangeState("al", [this](PersonalState& state) {
    state.muted_groups.Add("h");
    state.blocked_by.Add("bo");
  });
  EXPECT_EQ(Count("", 0)->count, 1U);
  ChangeState("al", [this](PersonalState& state) { state.Hide(UpdateId(from_cy_)); });
  EXPECT_EQ(Count("", 0)->count, 0U);
}

TEST_F(ReadPersonalTest, CountsNoFurtherThanItMayAndSaysSo) {
  // The newest is the reader's own.
  const auto two = Count("", 0, 2);
  ASSERT_TRUE(two.ok());
  EXPECT_EQ(two->count, 1U);
  EXPECT_TRUE(two->is_at_least);
  const auto all = Count("", 0, 4);
  EXPECT_EQ(all->count, 3U);
  EXPECT_FALSE(all->is_at_least);
  world_.people.Add("al").hole_since = from_bo_;
  EXPECT_TRUE(Count("", 0, 4)->is_at_least) << "some are missing";
}

TEST_F(ReadPersonalTest, CountsPastTheCapAreAtLeast) {
  lockfree::TimelineRing& ring = *world_.people.Add("al").home;
  for (uint64_t i = 0; i < limits::kTimelineCap + 5; ++i) {
    const UpdateId id = world_.IdAt(10'000 + i, "g");
    // Not flushed, so that the ring grows and keeps all.
    ring.Append(world_.people.arena(), lockfree::TimelineEntry{id.value(), 0, 0});
    world_.PutBody(id, "bo", "g");
  }
  const auto all = Count("", 0);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->count, limits::kTimelineCap);
  EXPECT_TRUE(all->is_at_least);
  EXPECT_FALSE(Count("", world_.IdAt(10'100, "g").value())->is_at_least);
}

TEST_F(ReadPersonalTest, CountsNothingOfOtherGroupsNorWithoutTheLease) {
  world_.groups.FindOrAdd(GroupId("closed"));
  EXPECT_TRUE(absl::IsPermissionDenied(Count("closed", 0).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(Count("nowhere", 0).status()));
  world_.ownership.HoldFor(0);
  EXPECT_TRUE(absl::IsUnavailable(Count("", 0).status()));
}

TEST_F(ReadPersonalTest, AMarkerStandsAtTheNewestOrWhereItIsToldButNotInTheFuture) {
  const auto place = [this](std::optional<UpdateId> update) {
    return RunToEnd(world_.reads.PlaceMarker(PersonId("al"), GroupId(), update));
  };
  EXPECT_EQ(place(std::nullopt)->value(), own_);
  EXPECT_EQ(place(UpdateId(from_cy_))->value(), from_cy_);
  const UpdateId applied(900'000, ShardIndex(1), 0);
  EXPECT_EQ(*place(applied), applied);
  for (const UpdateId future : {UpdateId(applied.value() + 1), UpdateId(~0ULL),
                                UpdateId(5, ShardIndex(world_.layout.shard_count), 0)}) {
    const absl::Status refused = place(future).status();
    EXPECT_TRUE(absl::IsInvalidArgument(refused)) << future.value();
    EXPECT_EQ(base::FieldViolationOf(refused)->field, "update_id");
  }
}

}  // namespace
}  // namespace klatch
