// The oracle on histories made by hand: who must see what, and what a page that shows something
// else is called.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "bench/load/oracle/answers.h"
#include "bench/load/oracle/check_tasks.h"
#include "bench/load/oracle/compare.h"
#include "bench/load/oracle/model.h"
#include "bench/load/oracle/redis_checker.h"
#include "bench/load/oracle/violations.h"
#include "common/base/bytes.h"
#include "services/model/position.h"

namespace klatch::load {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr PersonNumber kAnn = 0;
constexpr PersonNumber kBob = 1;
constexpr PersonNumber kEve = 2;
constexpr GroupNumber kHiking = 0;
constexpr GroupNumber kChoir = 1;

class ModelTest : public testing::Test {
 protected:
  ModelTest()
      : graph_({"ann", "bob", "eve"},
               {{"hiking", kAnn, {kAnn, kBob}}, {"choir", kBob, {kBob, kEve}}}, std::nullopt),
        model_(graph_) {
    Turned(kHiking, kAnn, 10, Turn::kJoined);
    Turned(kHiking, kBob, 11, Turn::kJoined);
    Turned(kChoir, kBob, 12, Turn::kJoined);
    Turned(kChoir, kEve, 13, Turn::kJoined);
  }

  void Turned(GroupNumber group, PersonNumber person, uint64_t position, Turn turn) {
    history_.turns.push_back({group, person, position, turn});
  }
  void Posted(uint64_t id, PersonNumber author, GroupNumber group) {
    history_.posts.push_back({id, id, group, author});
  }
  void PostedToMembersNow(uint64_t id, PersonNumber author, GroupNumber group) {
    history_.posts.push_back({id, id, group, author, true});
  }
  void PostedTo(uint64_t id, PersonNumber author, std::vector<Place> carries) {
    history_.posts.push_back(
        {id, id, carries.front().group, author, false, Fate::kAsPosted, std::move(carries)});
  }
  void Finish() {
    model_.Add(history_);
    model_.Finish();
  }
  Access AccessOf(PersonNumber person, uint64_t id) const {
    return model_.AccessTo(person, *model_.Find(id));
  }

  Graph graph_;
  Model model_;
  History history_;
};

std::vector<uint64_t> Ids(const std::vector<DueUpdate>& due) {
  std::vector<uint64_t> ids;
  for (const DueUpdate& update : due) {
    ids.push_back(update.id);
  }
  return ids;
}

TEST_F(ModelTest, HomeHoldsThePostsOfAllGroupsNewestFirst) {
  Posted(20, kAnn, kHiking);
  Posted(30, kEve, kChoir);
  Posted(25, kBob, kHiking);
  Finish();
  EXPECT_THAT(Ids(model_.HomeOf(kBob)), ElementsAre(30, 25, 20));
  EXPECT_THAT(Ids(model_.HomeOf(kAnn)), ElementsAre(25, 20));
  EXPECT_THAT(Ids(model_.HomeOf(kEve)), ElementsAre(30));
  EXPECT_EQ(model_.CountDeliveries(), 6u);
}

TEST_F(ModelTest, WhoLeftSeesNothingOfTheStayAndWhoCameBackOnlyTheNewOne) {
  Posted(20, kAnn, kHiking);
  Turned(kHiking, kBob, 25, Turn::kLeft);
  Posted(30, kAnn, kHiking);
  Turned(kHiking, kBob, 35, Turn::kJoined);
  Posted(40, kAnn, kHiking);
  Finish();
  EXPECT_EQ(AccessOf(kBob, 20), Access::kPast);
  EXPECT_EQ(AccessOf(kBob, 30), Access::kNone);
  EXPECT_EQ(AccessOf(kBob, 40), Access::kVisible);
  EXPECT_EQ(AccessOf(kEve, 40), Access::kNone);
  EXPECT_TRUE(model_.IsMember(kHiking, kBob));
  // What was due at posting counts, whoever left since: 2 + 1 + 2.
  EXPECT_EQ(model_.CountDeliveries(), 5u);
}

TEST_F(ModelTest, TurnsMayBeAddedInAnyOrderBecausePositionsDecide) {
  Turned(kHiking, kBob, 35, Turn::kJoined);
  Turned(kHiking, kBob, 25, Turn::kLeft);
  Posted(30, kAnn, kHiking);
  Posted(40, kAnn, kHiking);
  Finish();
  EXPECT_EQ(AccessOf(kBob, 30), Access::kNone);
  EXPECT_EQ(AccessOf(kBob, 40), Access::kVisible);
}

TEST_F(ModelTest, AnUndecidedTurnLeavesThatMembershipUnjudgedAndNoOther) {
  Posted(20, kAnn, kHiking);
  Turned(kHiking, kBob, 0, Turn::kUncertain);
  Posted(30, kAnn, kHiking);
  Posted(31, kEve, kChoir);
  Finish();
  EXPECT_EQ(AccessOf(kBob, 20), Access::kUncertain);
  EXPECT_EQ(AccessOf(kBob, 30), Access::kUncertain);
  EXPECT_EQ(AccessOf(kBob, 31), Access::kVisible);
  EXPECT_EQ(AccessOf(kAnn, 30), Access::kVisible);
  EXPECT_FALSE(model_.IsMember(kHiking, kBob));
}

TEST_F(ModelTest, GroupsAndProfilesAreSeenAsFarAsTheViewerHasAccess) {
  Posted(20, kBob, kHiking);
  Posted(30, kBob, kChoir);
  Finish();
  auto seen_by_ann = model_.ProfileSeenBy(kAnn, kBob);
  ASSERT_THAT(Ids(seen_by_ann), ElementsAre(30, 20));
  EXPECT_EQ(seen_by_ann[0].access, Access::kNone);
  EXPECT_EQ(seen_by_ann[1].access, Access::kVisible);
  EXPECT_THAT(Ids(model_.GroupSeenBy(kAnn, kHiking)), ElementsAre(20));
}

TEST_F(ModelTest, AnOpenPastShowsUpdatesForMembersNowToWhoCameLater) {
  Turned(kHiking, kBob, 15, Turn::kLeft);
  Posted(20, kAnn, kHiking);
  PostedToMembersNow(21, kAnn, kHiking);
  Turned(kHiking, kBob, 25, Turn::kJoinedOpen);
  Finish();
  EXPECT_EQ(AccessOf(kBob, 20), Access::kNone);
  EXPECT_EQ(AccessOf(kBob, 21), Access::kVisible);
  const auto home = model_.HomeOf(kBob);
  ASSERT_THAT(Ids(home), ElementsAre(21));
  EXPECT_EQ(home[0].access, Access::kVisible);
}

TEST_F(ModelTest, AClosedPastShowsNothingOfItToWhoCameLater) {
  Turned(kHiking, kBob, 15, Turn::kLeft);
  PostedToMembersNow(21, kAnn, kHiking);
  Turned(kHiking, kBob, 25, Turn::kJoined);
  Finish();
  EXPECT_EQ(AccessOf(kBob, 21), Access::kNone);
}

TEST_F(ModelTest, ACopyOfAnEarlierStayIsSeenAgainIfThePastIsOpenAndElseNot) {
  Posted(20, kAnn, kHiking);
  PostedToMembersNow(21, kAnn, kHiking);
  Turned(kHiking, kBob, 25, Turn::kLeft);
  Turned(kHiking, kBob, 30, Turn::kJoinedOpen);
  Finish();
  auto home = model_.HomeOf(kBob);
  ASSERT_THAT(Ids(home), ElementsAre(21, 20));
  EXPECT_EQ(home[0].access, Access::kVisible);
  EXPECT_EQ(home[1].access, Access::kPast);
}

TEST_F(ModelTest, WhatWasDeletedIsSeenByNobodyAndCountsAsDeliveredAllTheSame) {
  Posted(20, kAnn, kHiking);
  history_.posts.back().fate = Fate::kDeleted;
  Posted(21, kAnn, kHiking);
  history_.posts.back().fate = Fate::kMaybeDeleted;
  Finish();
  EXPECT_EQ(AccessOf(kBob, 20), Access::kPast);
  EXPECT_EQ(AccessOf(kEve, 20), Access::kNone);
  EXPECT_EQ(AccessOf(kBob, 21), Access::kUncertain);
  EXPECT_EQ(model_.CountDeliveries(), 4u);
}

TEST_F(ModelTest, APostToSeveralGroupsCountsOnceForWhoIsInMoreThanOne) {
  PostedTo(20, kBob, {{kHiking, 21}, {kChoir, 22}});
  Finish();
  EXPECT_THAT(Ids(model_.HomeOf(kBob)), ElementsAre(20));
  EXPECT_THAT(Ids(model_.HomeOf(kAnn)), ElementsAre(20));
  EXPECT_THAT(Ids(model_.HomeOf(kEve)), ElementsAre(20));
  EXPECT_THAT(Ids(model_.GroupSeenBy(kAnn, kHiking)), ElementsAre(20));
  EXPECT_THAT(Ids(model_.GroupSeenBy(kEve, kChoir)), ElementsAre(20));
  EXPECT_THAT(Ids(model_.ProfileSeenBy(kEve, kBob)), ElementsAre(20));
  EXPECT_EQ(model_.CountDeliveries(), 3u);
}

TEST_F(ModelTest, EachCarryIsJudgedByItsOwnPosition) {
  Turned(kHiking, kBob, 25, Turn::kLeft);
  Turned(kChoir, kEve, 25, Turn::kLeft);
  PostedTo(20, kBob, {{kHiking, 24}, {kChoir, 26}});
  Finish();
  // Eve was a member at the id, and no longer when the choir took it.
  EXPECT_EQ(AccessOf(kEve, 20), Access::kNone);
  EXPECT_EQ(AccessOf(kBob, 20), Access::kVisible);
  const PostRecord& post = *model_.Find(20);
  EXPECT_EQ(model_.AccessThrough(kBob, post, post.carries[0]), Access::kPast);
  EXPECT_EQ(model_.AccessThrough(kBob, post, post.carries[1]), Access::kVisible);
  EXPECT_EQ(model_.GroupSeenBy(kBob, kHiking).front().access, Access::kPast);
  EXPECT_TRUE(model_.HasFromPosting(kBob, post));
  EXPECT_EQ(model_.CountDeliveries(), 2u);
}

TEST_F(ModelTest, WhatGroupsOfOthersTookIsNotJudgedForWhoDoesNotSeeItHere) {
  PostedTo(20, kBob, {{kHiking, 21}});
  history_.posts.back().elsewhere = true;
  Finish();
  EXPECT_EQ(AccessOf(kAnn, 20), Access::kVisible);
  EXPECT_EQ(AccessOf(kEve, 20), Access::kUncertain);
}

TEST_F(ModelTest, NamesWhoLeftOnceEachAlsoIfTheyCameBack) {
  Turned(kHiking, kBob, 20, Turn::kLeft);
  Turned(kHiking, kBob, 21, Turn::kJoined);
  Turned(kHiking, kBob, 22, Turn::kLeft);
  Turned(kChoir, kEve, 23, Turn::kLeft);
  Finish();
  ASSERT_EQ(model_.Departures().size(), 2u);
  EXPECT_TRUE(model_.HasLeft(kHiking, kBob));
  EXPECT_FALSE(model_.HasLeft(kChoir, kBob));
}

TEST_F(ModelTest, IdsBehindTheFloorOfTheirShardAreOfThisRunAndOthersForeign) {
  const uint64_t floor = Position(1000, ShardIndex(1), 5).value();
  EXPECT_FALSE(model_.IsForeign(floor));
  model_.SetFloors({0, floor});
  EXPECT_TRUE(model_.IsForeign(floor));
  EXPECT_FALSE(model_.IsForeign(Position(1000, ShardIndex(1), 6).value()));
  // Shards that this run has not written to.
  EXPECT_TRUE(model_.IsForeign(Position(2000, ShardIndex(0), 0).value()));
  EXPECT_TRUE(model_.IsForeign(Position(2000, ShardIndex(7), 0).value()));
}

TEST_F(ModelTest, TwoPostsUnderOneIdAreAFaultOfTheAnswers) {
  Posted(20, kAnn, kHiking);
  Posted(20, kBob, kHiking);
  Finish();
  Violations violations(graph_);
  JudgeAnswers(graph_, model_, {}, violations);
  EXPECT_EQ(violations.other_count(), 1u);
  EXPECT_EQ(model_.posts().size(), 1u);
}

TEST_F(ModelTest, AnAcceptedPostOfSomebodyWhoHadLeftIsAFaultOfTheAnswers) {
  Turned(kHiking, kBob, 20, Turn::kLeft);
  Posted(19, kBob, kHiking);
  Posted(21, kBob, kHiking);
  Finish();
  Violations violations(graph_);
  JudgeAnswers(graph_, model_, {}, violations);
  EXPECT_EQ(violations.other_count(), 1u);
}

TEST_F(ModelTest, ARefusalOfSomebodyWhoNeverLeftIsAFaultOfTheAnswers) {
  Turned(kHiking, kBob, 20, Turn::kLeft);
  Finish();
  Violations violations(graph_);
  std::vector<Refusal> refusals = {{kHiking, kBob}, {kHiking, kAnn}};
  JudgeAnswers(graph_, model_, refusals, violations);
  EXPECT_EQ(violations.other_count(), 1u);
}

TEST_F(ModelTest, ChecksCoverEverythingAndWhatWhoLeftCouldSeeByEachPath) {
  Posted(20, kAnn, kHiking);
  Turned(kHiking, kBob, 21, Turn::kLeft);
  Finish();
  CheckPlan checks = PlanChecks(graph_, model_, {.single_updates = 0}, 7);
  EXPECT_EQ(checks.authors, 1u);
  EXPECT_EQ(checks.departures_checked, 1u);
  size_t homes = 0;
  std::set<CheckPath> of_bob;
  for (const CheckTask& task : checks.tasks) {
    homes += task.path == CheckPath::kHome ? 1 : 0;
    if (task.viewer == kBob) {
      of_bob.insert(task.path);
    }
  }
  EXPECT_EQ(homes, 3u);
  EXPECT_EQ(of_bob.size(), 4u);
}

TEST(CheckBoundsTest, AllUpToABoundAndASampleBeyond) {
  CheckBounds bounds;
  EXPECT_EQ(bounds.TimelinesOf(20'000), 20'000u);
  EXPECT_EQ(bounds.TimelinesOf(20'001), 2'000u);
  EXPECT_EQ(CheckBounds{.timelines = 5}.TimelinesOf(3), 3u);
  EXPECT_EQ(Choose(10, 3, 1).size(), 3u);
  EXPECT_EQ(Choose(10, 3, 1), Choose(10, 3, 1));
}

Stray NeverAsked(uint64_t id) {
  ADD_FAILURE() << id << " was due and should not be asked about";
  return Stray::kLeak;
}

std::vector<DueUpdate> Visible(std::initializer_list<uint64_t> ids) {
  std::vector<DueUpdate> due;
  for (uint64_t id : ids) {
    due.push_back({id, Access::kVisible});
  }
  return due;
}

TEST(CompareTest, FindsNothingWhereEverythingIsShown) {
  std::vector<uint64_t> shown = {3, 2, 1};
  Differences result = Compare(Visible({3, 2, 1}), {shown}, 800, NeverAsked);
  EXPECT_THAT(result.lost, IsEmpty());
  EXPECT_THAT(result.duplicated, IsEmpty());
  EXPECT_THAT(result.leaked, IsEmpty());
  EXPECT_FALSE(result.out_of_order);
}

TEST(CompareTest, NamesWhatIsMissingWhatIsThereTwiceAndWhatIsOutOfOrder) {
  std::vector<uint64_t> shown = {2, 4, 4};
  Differences result = Compare(Visible({4, 3, 2}), {shown}, 800, NeverAsked);
  EXPECT_THAT(result.lost, ElementsAre(3));
  EXPECT_THAT(result.duplicated, ElementsAre(4));
  EXPECT_TRUE(result.out_of_order);
}

TEST(CompareTest, CallsItALeakWhenSomebodySeesWhatIsNotForThem) {
  std::vector<DueUpdate> due = {{4, Access::kVisible}, {3, Access::kPast}, {2, Access::kNone}};
  std::vector<uint64_t> shown = {9, 4, 3, 2};
  Differences result = Compare(due, {shown}, 800, [](uint64_t) { return Stray::kLeak; });
  EXPECT_THAT(result.leaked, ElementsAre(9, 3, 2));
}

TEST(CompareTest, DoesNotJudgeWhatIsUndecided) {
  std::vector<DueUpdate> due = {{4, Access::kUncertain}, {3, Access::kUncertain}};
  std::vector<uint64_t> shown = {4};
  Differences result = Compare(due, {shown}, 800, NeverAsked);
  EXPECT_THAT(result.lost, IsEmpty());
  EXPECT_THAT(result.leaked, IsEmpty());
}

TEST(CompareTest, OlderThanTheCapIsTrimmedIfThePageSaysSoAndLostIfNot) {
  std::vector<uint64_t> shown = {5, 4};
  Differences said = Compare(Visible({5, 4, 3, 2}), {shown, true}, 2, NeverAsked);
  EXPECT_EQ(said.trimmed, 2u);
  EXPECT_THAT(said.lost, IsEmpty());
  Differences silent = Compare(Visible({5, 4, 3, 2}), {shown, false}, 2, NeverAsked);
  EXPECT_EQ(silent.trimmed, 0u);
  EXPECT_THAT(silent.lost, ElementsAre(3, 2));
}

TEST(CompareTest, WithinTheCapNothingMayBeMissingWhateverThePageSays) {
  std::vector<uint64_t> shown = {5, 3};
  Differences result = Compare(Visible({5, 4, 3}), {shown, true}, 3, NeverAsked);
  EXPECT_THAT(result.lost, ElementsAre(4));
}

TEST(CompareTest, NewerUpdatesOfOthersTakePlacesOfTheCapAndOlderOnesDoNot) {
  std::vector<uint64_t> shown = {9, 5, 1};
  auto foreign = [](uint64_t) { return Stray::kForeign; };
  Differences result = Compare(Visible({5, 4}), {shown, true}, 2, foreign);
  EXPECT_THAT(result.lost, IsEmpty());
  EXPECT_EQ(result.trimmed, 1u);
}

TEST(StoredRingTest, IdsComeNewestFirstWithoutEmptySlotsAndBrokenEnds) {
  std::string ring;
  for (uint64_t id : {5, 0, 9, 5, 0}) {
    base::AppendLittleEndian<uint64_t>(ring, id);
  }
  EXPECT_THAT(IdsOfRing(ring + "abc"), ElementsAre(9, 5, 5));
}

TEST(ViolationsTest, CountsAPairOnceHoweverManyPathsShowIt) {
  Graph graph({"ann", "bob"}, {{"g", 0, {0, 1}}}, std::nullopt);
  Violations violations(graph);
  violations.Add(Violation::kLost, Surface::kHome, kAnn, 7);
  violations.Add(Violation::kLost, Surface::kStored, kAnn, 7);
  violations.Add(Violation::kLost, Surface::kHome, kBob, 7);
  violations.Add(Violation::kLost, Surface::kHome, kBob, 7, "after something else");
  violations.Add(Violation::kLeaked, Surface::kHome, kAnn, 7);
  EXPECT_EQ(violations.Count(Violation::kLost), 2u);
  EXPECT_EQ(violations.Count(Violation::kLeaked), 1u);
  EXPECT_EQ(violations.Count(Violation::kDuplicated), 0u);
  EXPECT_EQ(violations.Count(Violation::kLost, Surface::kHome), 2u);
  EXPECT_EQ(violations.Count(Violation::kLost, Surface::kStored), 1u);
  EXPECT_EQ(violations.Count(Violation::kLost, Surface::kWatch), 0u);
  EXPECT_EQ(violations.Examples().size(), 3u);
}

}  // namespace
}  // namespace klatch::load
