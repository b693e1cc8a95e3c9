// Posts to several groups as the calls make them, against a log that does as it is told.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accept_fakes.h"
#include "services/accept/feed_writes.h"
#include "services/accept/update_message.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

using testing::Await;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr base::MonotonicTime kDeadline = base::MonotonicTime::max();

std::string FieldOf(const absl::Status& status) {
  const auto violation = base::FieldViolationOf(status);
  return violation ? violation->field : "";
}

class AcceptSeveralTest : public ::testing::Test {
 protected:
  static v1::PublishUpdateRequest Request(const std::vector<std::string>& groups) {
    v1::PublishUpdateRequest request;
    request.set_actor("ann");
    request.set_request_id("key");
    request.mutable_update()->set_text("hello");
    for (const std::string& group : groups) {
      request.mutable_update()->add_groups(group);
    }
    return request;
  }
  static v1::PublishUpdateRequest ToAll() {
    v1::PublishUpdateRequest request = Request({});
    request.set_all_my_groups(true);
    return request;
  }

  absl::StatusOr<v1::PublishUpdateResponse> Publish(v1::PublishUpdateRequest request) {
    return Await(writes_.Publish(std::move(request), kDeadline));
  }
  absl::StatusOr<v1::DeleteUpdateResponse> Delete(UpdateId id, const std::string& actor) {
    v1::DeleteUpdateRequest request;
    request.set_actor(actor);
    request.set_update_id(id.value());
    return Await(writes_.Delete(std::move(request), kDeadline));
  }
  absl::StatusOr<v1::EditUpdateResponse> Edit(UpdateId id, const std::string& actor) {
    v1::EditUpdateRequest request;
    request.set_actor(actor);
    request.set_update_id(id.value());
    request.mutable_update()->set_text("new");
    return Await(writes_.Edit(std::move(request), kDeadline));
  }

  // An update of ann's that a and b took and c refused.
  UpdateId StoredUpdate() {
    const UpdateId id(500, layout_.HomeShardOf(PersonId("ann")), 1);
    BodyHeader header;
    header.author = PersonId("ann");
    for (const char* group : {"a", "b"}) {
      header.targets.push_back(
          {GroupId(group), Carry{Position(600, layout_.ShardOf(GroupId(group)), 0),
                                 AudienceRule::kMembersNow, CarryRefusal::kNone}});
    }
    header.targets.push_back(
        {GroupId("c"), Carry{Position(), AudienceRule::kGroupDefault, CarryRefusal::kNotMember}});
    v1::Update content;
    content.set_text("old");
    facts_.bodies[id] = std::make_shared<const Body>(
        *Body::Decode(EncodeBody(header, UpdateBytes(content, header.author))));
    return id;
  }

  const Layout layout_;
  testing::FakeAppender appender_{layout_};
  testing::FakePressure pressure_;
  testing::FakeFacts facts_;
  testing::FakeRights rights_;
  testing::FakeBarrier barrier_;
  testing::FakeClock clock_;
  BodyStore bodies_{1 << 20};
  Admission admission_{appender_, pressure_, Admission::Bounds{}};
  base::Executor executor_{1, "test"};
  FeedWrites writes_{{layout_, appender_, bodies_, facts_, facts_, rights_, barrier_, admission_,
                      executor_, clock_}};
};

TEST_F(AcceptSeveralTest, SaysWhatBecameOfItInEachGroup) {
  appender_.refusals["b"] = CarryRefusal::kNotMember;
  const auto response = Publish(Request({"a", "b", "c"}));
  ASSERT_TRUE(response.ok()) << response.status();
  ASSERT_EQ(response->groups_size(), 3);
  EXPECT_EQ(response->groups(0).group(), "a");
  EXPECT_EQ(Position(response->groups(0).position()).shard(), layout_.ShardOf(GroupId("a")));
  EXPECT_FALSE(response->groups(0).has_error());
  EXPECT_EQ(response->groups(1).group(), "b");
  EXPECT_EQ(response->groups(1).position(), 0u);
  EXPECT_EQ(response->groups(1).error().code(),
            static_cast<int>(absl::StatusCode::kPermissionDenied));
  std::set<uint32_t> shards = {layout_.HomeShardOf(PersonId("ann")).value(),
                               layout_.ShardOf(GroupId("a")).value(),
                               layout_.ShardOf(GroupId("c")).value()};
  EXPECT_EQ(response->tokens_size(), static_cast<int>(shards.size()));
  EXPECT_EQ(appender_.publish_calls, 0u);
  ASSERT_EQ(appender_.settled.size(), 1u);
  EXPECT_EQ(appender_.settled[0].carries[1].refusal, CarryRefusal::kNotMember);
  // Kept in memory as it is stored now.
  const auto body = bodies_.Find(UpdateId(response->update_id()));
  ASSERT_NE(body, nullptr);
  EXPECT_TRUE(body->is_decided());
  EXPECT_FALSE(body->is_provisional());
  v1::Update stored;
  ASSERT_TRUE(stored.ParseFromString(std::string(body->update_bytes())));
  EXPECT_THAT(stored.groups(), IsEmpty()) << "readers may not see all of them";
}

TEST_F(AcceptSeveralTest, FailsAsTheFirstGroupIfAllRefuse) {
  appender_.refusals = {{"a", CarryRefusal::kNoGroup}, {"b", CarryRefusal::kNotMember}};
  const auto response = Publish(Request({"a", "b"}));
  EXPECT_TRUE(absl::IsNotFound(response.status())) << response.status();
  EXPECT_EQ(FieldOf(response.status()), "update.groups");
  ASSERT_EQ(appender_.settled.size(), 1u);
  EXPECT_EQ(appender_.settled[0].author, PersonId("ann")) << "so that the post is forgotten";
}

TEST_F(AcceptSeveralTest, AGroupThatCannotBeAskedLeavesItUnknown) {
  // Home, then the first of the carries.
  appender_.failures[1] =
      base::WithReason(base::Error(absl::StatusCode::kUnavailable, "no connection"), "NOT_SENT");
  const auto response = Publish(Request({"a", "b"}));
  EXPECT_TRUE(absl::IsUnavailable(response.status())) << response.status();
  EXPECT_EQ(base::ReasonOf(response.status()), "OUTCOME_UNKNOWN") << "something has been sent";
  ASSERT_EQ(appender_.settled.size(), 1u);
  EXPECT_FALSE(appender_.settled[0].carries[0].is_decided());
  EXPECT_TRUE(appender_.settled[0].carries[1].is_carried());
}

TEST_F(AcceptSeveralTest, ARetryAsksOnlyWhatIsOpen) {
  const UpdateId id = StoredUpdate();
  Body stored = *facts_.bodies[id];
  std::vector<Carry> carries;
  for (const Target& target : stored.header().targets) {
    carries.push_back(target.carry);
  }
  carries[1] = Carry{};
  appender_.replayed = true;
  appender_.earlier_several = {id, true, stored.WithCarries(carries)};
  const auto response = Publish(Request({"a", "b", "c"}));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->update_id(), id.value());
  ASSERT_EQ(appender_.carries.size(), 1u);
  EXPECT_EQ(appender_.carries[0].group, GroupId("b"));
  EXPECT_TRUE(response->groups(2).has_error());

  appender_.earlier_several = {id, true, stored};
  ASSERT_TRUE(Publish(Request({"a", "b", "c"})).ok());
  EXPECT_EQ(appender_.carries.size(), 1u) << "nothing is open";

  appender_.earlier_several = {id, true, std::nullopt};
  const auto gone = Publish(Request({"a", "b", "c"}));
  ASSERT_TRUE(gone.ok()) << gone.status();
  EXPECT_EQ(gone->update_id(), id.value());
  EXPECT_THAT(gone->groups(), IsEmpty());
}

TEST_F(AcceptSeveralTest, AllMyGroupsAreThoseWhereTheActorMayPost) {
  rights_.roles = {{{"a", "ann"}, Role::kMember},
                   {{"b", "ann"}, Role::kReader},
                   {{"c", "ann"}, Role::kOwner},
                   {{"d", "bob"}, Role::kMember}};
  const auto response = Publish(ToAll());
  ASSERT_TRUE(response.ok()) << response.status();
  ASSERT_EQ(response->groups_size(), 2);
  EXPECT_EQ(response->groups(0).group(), "a");
  EXPECT_EQ(response->groups(1).group(), "c");
}

TEST_F(AcceptSeveralTest, TheLogIsToldOfNoGroupsAndOfTooMany) {
  ASSERT_TRUE(Publish(ToAll()).ok());
  EXPECT_EQ(appender_.posted_to_several.back().bad_targets, BadTargets::kNoGroup);
  for (size_t i = 0; i <= limits::kGroupsPerUpdateMax; ++i) {
    rights_.roles[{"g" + std::to_string(i), "ann"}] = Role::kMember;
  }
  ASSERT_TRUE(Publish(ToAll()).ok());
  EXPECT_EQ(appender_.posted_to_several.back().bad_targets, BadTargets::kTooMany);
}

TEST_F(AcceptSeveralTest, TheDigestIsOfTheGroupsAsTheyWereAskedFor) {
  rights_.roles[{"a", "ann"}] = Role::kMember;
  ASSERT_TRUE(Publish(ToAll()).ok());
  rights_.roles[{"b", "ann"}] = Role::kMember;
  ASSERT_TRUE(Publish(ToAll()).ok());
  ASSERT_TRUE(Publish(Request({"a", "b"})).ok());
  ASSERT_TRUE(Publish(Request({"a", "c"})).ok());
  const auto& posted = appender_.posted_to_several;
  EXPECT_EQ(posted[0].payload_digest, posted[1].payload_digest);
  EXPECT_NE(posted[1].payload_digest, posted[2].payload_digest);
  EXPECT_NE(posted[2].payload_digest, posted[3].payload_digest);
}

TEST_F(AcceptSeveralTest, ItemsOfABatchMayGoToSeveral) {
  v1::BatchPublishUpdatesRequest batch;
  *batch.add_requests() = Request({"a"});
  *batch.add_requests() = Request({"a", "b"});
  *batch.add_requests() = Request({"a", "a"});
  const auto response = Await(writes_.BatchPublish(batch, kDeadline));
  ASSERT_TRUE(response.ok()) << response.status();
  ASSERT_EQ(response->results_size(), 3);
  EXPECT_EQ(response->results(0).published().groups_size(), 0);
  EXPECT_EQ(response->results(1).published().groups_size(), 2);
  EXPECT_EQ(response->results(2).error().code(),
            static_cast<int>(absl::StatusCode::kInvalidArgument));
}

TEST_F(AcceptSeveralTest, ItsAuthorEditsItWhileTheyMayPostInOneOfItsGroups) {
  const UpdateId id = StoredUpdate();
  rights_.roles[{"c", "ann"}] = Role::kOwner;  // which never had it
  EXPECT_EQ(FieldOf(Edit(id, "ann").status()), "actor");
  rights_.roles[{"b", "ann"}] = Role::kMember;
  const auto edited = Edit(id, "ann");
  ASSERT_TRUE(edited.ok()) << edited.status();
  EXPECT_THAT(edited->update().groups(), ElementsAre("b"));
  EXPECT_EQ(edited->update().text(), "new");
  ASSERT_EQ(appender_.edits_of_several.size(), 1u);
  EXPECT_THAT(appender_.edits_of_several[0].groups, ElementsAre(GroupId("a"), GroupId("b")));
  EXPECT_THAT(barrier_.waited, ElementsAre(appender_.last));
  EXPECT_EQ(barrier_.watch_waits, 1u);
  EXPECT_EQ(barrier_.waited_before_watches, barrier_.waited.size());
}

TEST_F(AcceptSeveralTest, ItsAuthorDeletesTheWhole) {
  const UpdateId id = StoredUpdate();
  ASSERT_TRUE(Delete(id, "ann").ok());
  EXPECT_THAT(appender_.deleted_of_several, ElementsAre(id));
  EXPECT_THAT(barrier_.waited, ElementsAre(appender_.last));
  EXPECT_EQ(barrier_.watch_waits, 1u);
  EXPECT_EQ(barrier_.waited_before_watches, barrier_.waited.size());
}

TEST_F(AcceptSeveralTest, AModeratorTakesItOutOfTheirGroupsOnly) {
  const UpdateId id = StoredUpdate();
  rights_.roles = {{{"a", "mod"}, Role::kMember},
                   {{"b", "mod"}, Role::kModerator},
                   {{"c", "mod"}, Role::kOwner}};
  ASSERT_TRUE(Delete(id, "mod").ok());
  EXPECT_THAT(appender_.removed_from, ElementsAre(GroupId("b")));
  EXPECT_THAT(appender_.awaited, ElementsAre(id));
  ASSERT_EQ(appender_.settled.size(), 1u);
  EXPECT_FALSE(appender_.settled[0].author.has_value());
  EXPECT_TRUE(appender_.settled[0].carries[0].is_carried());
  EXPECT_EQ(appender_.settled[0].carries[1].refusal, CarryRefusal::kRemoved);
  EXPECT_EQ(appender_.settled[0].carries[2].refusal, CarryRefusal::kNotMember);
  EXPECT_EQ(barrier_.waited.size(), 2u) << "in the group and where the body is";
  EXPECT_EQ(barrier_.watch_waits, 1u);
  EXPECT_EQ(barrier_.waited_before_watches, barrier_.waited.size());
}

TEST_F(AcceptSeveralTest, WhatWasTakenOutBeforeIsNotFoundOnceThatIsInForce) {
  const UpdateId id = StoredUpdate();
  rights_.roles[{"b", "mod"}] = Role::kModerator;
  appender_.replayed = true;
  EXPECT_TRUE(absl::IsNotFound(Delete(id, "mod").status()));
  EXPECT_EQ(barrier_.waited.size(), 2u);
}

TEST_F(AcceptSeveralTest, WhoModeratesNoneOfItsGroupsDeletesNothing) {
  const UpdateId id = StoredUpdate();
  rights_.roles[{"c", "eve"}] = Role::kOwner;
  EXPECT_TRUE(absl::IsNotFound(Delete(id, "eve").status()));
  EXPECT_THAT(appender_.removed_from, IsEmpty());
  EXPECT_THAT(appender_.awaited, IsEmpty());
}

}  // namespace
}  // namespace klatch
