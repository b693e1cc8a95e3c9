// The parts of the live thread that need neither threads nor gRPC.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "services/live/intake.h"
#include "services/live/outbox.h"
#include "services/live/resume_reader.h"
#include "services/live/watch_history.h"
#include "services/live/watch_request.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Position At(uint64_t ms, uint32_t shard = 0) { return Position(ms, ShardIndex(shard), 0); }

WatchedEvent Published(Position position) {
  return {.kind = WatchedEvent::Kind::kPublished,
          .group = {},
          .update = position,
          .position = position};
}

TEST(OutboxTest, SameEventForSeveralIsOne) {
  Outbox outbox(10, 100);
  outbox.Add(Published(At(1)), 7);
  outbox.Add(Published(At(1)), 8);
  outbox.Add(Published(At(2)), 7);
  ASSERT_EQ(outbox.size(), 2u);
  EXPECT_THAT(outbox.At(0).recipients, ElementsAre(7, 8));
  EXPECT_THAT(outbox.At(1).recipients, ElementsAre(7));
  outbox.PopFront(1);
  EXPECT_EQ(outbox.At(0).event, Published(At(2)));
}

TEST(OutboxTest, OneEventTooManyLeavesAGapSinceTheOldest) {
  Outbox outbox(3, 100);
  for (uint64_t ms = 5; ms <= 8; ++ms) {
    outbox.Add(Published(At(ms)), 1);
  }
  ASSERT_EQ(outbox.size(), 1u);
  EXPECT_EQ(outbox.At(0).event.kind, WatchedEvent::Kind::kGap);
  EXPECT_EQ(outbox.At(0).event.reason, v1::GAP_REASON_SLOW_READER);
  EXPECT_EQ(outbox.At(0).event.position, At(5));
  EXPECT_THAT(outbox.At(0).recipients, IsEmpty());
  outbox.Add(Published(At(9)), 1);
  EXPECT_EQ(outbox.size(), 2u);
}

TEST(OutboxTest, RecipientsAreBoundedToo) {
  Outbox outbox(10, 3);
  for (uint32_t number = 0; number < 3; ++number) {
    outbox.Add(Published(At(1)), number);
  }
  EXPECT_EQ(outbox.At(0).event.kind, WatchedEvent::Kind::kPublished);
  outbox.PopFront(1);
  for (uint32_t number = 0; number < 4; ++number) {
    outbox.Add(Published(At(2)), number);
  }
  EXPECT_EQ(outbox.At(0).event.kind, WatchedEvent::Kind::kGap);
}

TEST(OutboxTest, GapReachesBackToTheIdOfWhatCameToAGroupLater) {
  Outbox outbox(1, 10);
  WatchedEvent carried = Published(At(20, 1));
  carried.update = At(10);
  outbox.Add(carried, 7);
  outbox.Add(Published(At(30)), 7);
  ASSERT_EQ(outbox.size(), 1u);
  EXPECT_EQ(outbox.At(0).event.position, At(10));
}

WatchItem ItemAt(Position position, uint32_t person) {
  return {.kind = WatchItem::Kind::kPublished,
          .person = person,
          .group = {},
          .update = position,
          .position = position};
}

TEST(IntakeTest, WhatIsAheadOfTheSlowestWaits) {
  Intake intake(2);
  ASSERT_TRUE(intake.Add(0, ItemAt(At(10), 1)));
  ASSERT_TRUE(intake.Add(0, ItemAt(At(20), 1)));
  ASSERT_TRUE(intake.Add(0, ItemAt(At(5, 1), 1)));
  ASSERT_TRUE(intake.Add(1, ItemAt(At(10), 2)));
  auto ready = intake.TakeReady(Positions{At(10), At(4, 1)});
  ASSERT_EQ(ready.size(), 2u);
  EXPECT_EQ(ready[0].item.position, At(10));
  EXPECT_EQ(ready[1].item.position, At(10));
  EXPECT_NE(ready[0].worker, ready[1].worker);
  ready = intake.TakeReady(Positions{At(30), At(30, 1)});
  ASSERT_EQ(ready.size(), 2u);
  EXPECT_EQ(ready[0].item.position, At(5, 1));
  EXPECT_EQ(ready[1].item.position, At(20));
  EXPECT_THAT(intake.TakeReady(Positions{At(40), At(40, 1)}), IsEmpty());
}

TEST(IntakeTest, WorkerFarAheadOfTheOthersIsGivenUp) {
  Intake intake(1);
  for (size_t i = 0; i < limits::kWatchPendingMax; ++i) {
    ASSERT_TRUE(intake.Add(0, ItemAt(At(10), 1)));
  }
  EXPECT_FALSE(intake.Add(0, ItemAt(At(10), 1)));
  intake.Drop(0);
  EXPECT_TRUE(intake.Add(0, ItemAt(At(10), 1)));
}

WatchedEvent Edited(Position position, uint32_t group) {
  return {.kind = WatchedEvent::Kind::kEdited,
          .group = GroupIndex(group),
          .update = At(1),
          .position = position};
}

TEST(WatchHistoryTest, FindsWhatLiesBetween) {
  WatchHistory history(10, {At(0), At(0, 1)});
  history.AddChange(Edited(At(10), 1));
  history.AddChange(Edited(At(20), 1));
  history.AddChange(Edited(At(20), 2));
  history.AddLeave(0, 7, Edited(At(15), 3));
  const Positions after{At(10), At(0, 1)};
  const Positions until{At(20), At(0, 1)};
  EXPECT_THAT(history.ChangesOf(GroupIndex(1), after, until), ElementsAre(Edited(At(20), 1)));
  EXPECT_THAT(history.LeavesOf(0, 7, after, until), ElementsAre(Edited(At(15), 3)));
  EXPECT_THAT(history.LeavesOf(1, 7, after, until), IsEmpty());
  EXPECT_THAT(history.ChangesOf(GroupIndex(3), after, until), IsEmpty());
  EXPECT_THAT(history.ChangesOf(GroupIndex(1), after, Positions{At(19), At(0, 1)}), IsEmpty());
}

TEST(WatchHistoryTest, SaysWhatItHasForgotten) {
  WatchHistory history(2, {At(5), At(5, 1)});
  EXPECT_TRUE(history.Reaches(Positions{At(5), At(5, 1)}));
  EXPECT_FALSE(history.Reaches(Positions{At(4), At(9, 1)}));
  history.AddChange(Edited(At(10), 1));
  history.AddChange(Edited(At(11), 1));
  history.AddLeave(0, 1, Edited(At(12, 1), 2));
  EXPECT_EQ(history.size(), 2u);
  EXPECT_TRUE(history.Reaches(Positions{At(10), At(5, 1)}));
  EXPECT_FALSE(history.Reaches(Positions{At(9), At(9, 1)}));
  history.Cut(Positions{At(3), At(8, 1)});
  EXPECT_TRUE(history.Reaches(Positions{At(10), At(8, 1)}));
  EXPECT_FALSE(history.Reaches(Positions{At(10), At(7, 1)}));
}

TEST(ResumeTest, MissedIsWhatLiesAboveTheFloorAndWasNotShown) {
  const WatchPlace from{.floor = {At(10), At(20, 1)}, .shown = {At(12)}};
  const Positions until{At(30), At(30, 1)};
  const std::vector<UpdateId> timeline{At(31), At(30, 1), At(20, 1), At(15, 1),
                                       At(14), At(12),    At(10)};
  EXPECT_THAT(MissedIds(timeline, from, until), ElementsAre(At(14), At(30, 1)));
}

TEST(ResumeTest, OlderIdsMatterOnlyWhereAShardHasMoved) {
  const WatchPlace from{.floor = {At(10), At(20, 1)}, .shown = {}};
  EXPECT_FALSE(MayLackBelow(At(40), from, {At(10), At(20, 1)}));
  EXPECT_TRUE(MayLackBelow(At(40), from, {At(11), At(20, 1)}));
  EXPECT_FALSE(MayLackBelow(At(9), from, {At(11), At(20, 1)}));
  EXPECT_FALSE(MayLackBelow(At(15), from, {At(10), At(30, 1)}));
}

class WatchRequestTest : public testing::Test {
 protected:
  std::string FieldOf(const v1::WatchHomeTimelinesRequest& request, bool is_first = true) {
    const auto checked = CheckWatches(request, is_first, layout_, tokens_);
    const auto violation = base::FieldViolationOf(checked.status());
    return violation ? violation->field : checked.ok() ? "ok" : "error";
  }

  const Layout layout_{.name = "default", .shard_count = 1, .partition_count = 1};
  const WatchTokens tokens_{layout_, "key"};
};

TEST_F(WatchRequestTest, NamesTheFieldOfAGatewaysRequest) {
  v1::WatchHomeTimelinesRequest request;
  EXPECT_EQ(FieldOf(request), "ok");
  EXPECT_EQ(FieldOf(request, false), "change");
  request.mutable_add();
  EXPECT_EQ(FieldOf(request), "add.persons");
  request.mutable_add()->add_persons("bob");
  EXPECT_EQ(FieldOf(request), "ok");
  request.set_heartbeat_seconds(61);
  EXPECT_EQ(FieldOf(request), "heartbeat_seconds");
  request.set_heartbeat_seconds(60);
  EXPECT_EQ(FieldOf(request), "ok");
  EXPECT_EQ(FieldOf(request, false), "heartbeat_seconds");
  request.mutable_add()->add_persons("");
  EXPECT_EQ(FieldOf(request), "add.persons[1]");
  request.mutable_remove();
  EXPECT_EQ(FieldOf(request), "remove.persons");
}

TEST_F(WatchRequestTest, GatewayTakesAPersonsTokenForThatPersonAlone) {
  v1::WatchHomeTimelinesRequest request;
  request.mutable_add()->add_persons("bob");
  request.mutable_add()->set_resume_token(
      tokens_.MakeForPerson(PersonId("bob"), {.floor = {At(1)}, .shown = {}}));
  EXPECT_EQ(FieldOf(request), "ok");
  request.mutable_add()->add_persons("ann");
  EXPECT_EQ(FieldOf(request), "add.resume_token");
}

TEST_F(WatchRequestTest, OnePersonTooMany) {
  v1::WatchHomeTimelinesRequest request;
  for (size_t i = 0; i < limits::kWatchPersonsPerStreamMax; ++i) {
    request.mutable_add()->add_persons("p");
  }
  EXPECT_EQ(FieldOf(request), "ok");
  request.mutable_add()->add_persons("p");
  EXPECT_EQ(FieldOf(request), "add.persons");
}

}  // namespace
}  // namespace klatch
