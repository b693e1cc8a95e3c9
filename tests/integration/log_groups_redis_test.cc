// Groups and their members, against a real redis-server.

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "services/log/group_store.h"
#include "tests/integration/log_fixture.h"

namespace klatch::testing {
namespace {

using absl::StatusCode;
using klatch::v1::LogRecord;

class LogGroupsRedisTest : public LogRedisTest {
 protected:
  StoredGroup Group(const char* group) {
    GroupStore store(*pipeline_, layout_);
    auto stored = Await(store.ReadGroup(GroupId(group)));
    EXPECT_THAT(stored, IsOk());
    return stored.ok() ? *stored : StoredGroup();
  }
  absl::StatusOr<Appended> DeleteGroup(const char* actor, const char* group) {
    return Await(appender_->DeleteGroup(PersonId(actor), GroupId(group)));
  }
};

TEST_F(LogGroupsRedisTest, CreateMakesTheActorOwnerAtTheRecordsPosition) {
  const Position created = MakeGroup("ann", "hiking", History::kAll);
  const StoredGroup group = Group("hiking");
  EXPECT_EQ(group.state, GroupState::kActive);
  EXPECT_EQ(group.fields.display_name, "A name");
  EXPECT_EQ(group.fields.description, "What it is");
  EXPECT_EQ(group.fields.history, History::kAll);
  EXPECT_EQ(group.fields.default_audience, AudienceRule::kMembersAtPosting);
  EXPECT_EQ(group.member_count, 1u);
  EXPECT_EQ(group.owner_count, 1u);
  EXPECT_EQ(group.created, created);
  EXPECT_EQ(StayOf("ann", "hiking"), (Stay{Role::kOwner, created, created}));
  EXPECT_EQ(Redis({"SISMEMBER", keys_.Groups(created.shard()), "hiking"}).integer(), 1);
  const auto records = Records("hiking");
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].record.event_case(), LogRecord::kGroupCreated);
  EXPECT_EQ(records[0].record.actor(), "ann");
}

TEST_F(LogGroupsRedisTest, CreateRepeatsByRequestIdAndRefusesTakenIds) {
  const Position created = MakeGroup("ann", "hiking");
  const auto before = Contents();
  auto again = Await(appender_->CreateGroup(NewGroup("ann", "hiking")));
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->position, created);
  CreateGroupCommand other = NewGroup("ann", "hiking");
  other.payload_digest = Digest("other");
  EXPECT_THAT(Await(appender_->CreateGroup(other)),
              FailsWith(StatusCode::kAlreadyExists, "request_id"));
  EXPECT_THAT(Await(appender_->CreateGroup(NewGroup("ben", "hiking"))),
              FailsWith(StatusCode::kAlreadyExists, "group.id"));
  EXPECT_EQ(Contents(), before);
}

TEST_F(LogGroupsRedisTest, UpdateChangesOnlyWhatIsSetAndOnlyForOwners) {
  MakeGroup("ann", "hiking");
  ASSERT_THAT(Add("ann", "hiking", {{"ben", Role::kModerator}}, "a1"), IsOk());
  UpdateGroupCommand command;
  command.actor = PersonId("ann");
  command.group = GroupId("hiking");
  command.display_name = "New";
  command.default_audience = AudienceRule::kMembersNow;
  auto updated = Await(appender_->UpdateGroup(command));
  ASSERT_THAT(updated, IsOk());
  EXPECT_EQ(updated->group.fields.id, GroupId("hiking"));
  EXPECT_EQ(updated->group.fields.display_name, "New");
  EXPECT_EQ(updated->group.fields.description, "What it is");
  EXPECT_EQ(updated->group.member_count, 2u);
  const StoredGroup group = Group("hiking");
  EXPECT_EQ(updated->group.created, group.created);
  EXPECT_EQ(group.fields.display_name, "New");
  EXPECT_EQ(group.fields.description, "What it is");
  EXPECT_EQ(group.fields.history, History::kNone);
  EXPECT_EQ(group.fields.default_audience, AudienceRule::kMembersNow);
  EXPECT_EQ(Records("hiking").back().record.event_case(), LogRecord::kGroupUpdated);
  auto published = Publish(Post("ann", "hiking", "r1"));
  ASSERT_THAT(published, IsOk());
  EXPECT_EQ(published->audience, AudienceRule::kMembersNow);

  command.actor = PersonId("ben");
  EXPECT_THAT(Await(appender_->UpdateGroup(command)),
              FailsWith(StatusCode::kPermissionDenied, "actor"));
  command.group = GroupId("nowhere");
  EXPECT_THAT(Await(appender_->UpdateGroup(command)), FailsWith(StatusCode::kNotFound, "group.id"));
}

TEST_F(LogGroupsRedisTest, DeleteTakesMembersAndFeedAndKeepsTheId) {
  MakeGroup("ann", "hiking");
  ASSERT_THAT(Add("ann", "hiking", {{"ben", Role::kModerator}}, "a1"), IsOk());
  ASSERT_THAT(Publish(Post("ann", "hiking", "r1")), IsOk());
  EXPECT_THAT(DeleteGroup("ben", "hiking"), FailsWith(StatusCode::kPermissionDenied, "actor"));
  EXPECT_THAT(DeleteGroup("cat", "hiking"), FailsWith(StatusCode::kPermissionDenied, "actor"));
  EXPECT_THAT(DeleteGroup("ann", "nowhere"), FailsWith(StatusCode::kNotFound, "group"));
  auto deleted = DeleteGroup("ann", "hiking");
  ASSERT_THAT(deleted, IsOk());
  EXPECT_FALSE(deleted->replayed);
  EXPECT_EQ(
      Redis({"EXISTS", keys_.Members(GroupId("hiking")), keys_.Feed(GroupId("hiking"))}).integer(),
      0);
  EXPECT_EQ(Redis({"SCARD", keys_.Groups(deleted->position.shard())}).integer(), 0);
  EXPECT_EQ(Records("hiking").back().record.event_case(), LogRecord::kGroupDeleted);
  const StoredGroup group = Group("hiking");
  EXPECT_EQ(group.state, GroupState::kDeleted);
  EXPECT_EQ(group.deleted, deleted->position);

  auto again = DeleteGroup("anyone", "hiking");
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->position, deleted->position);
  CreateGroupCommand reuse = NewGroup("ann", "hiking");
  reuse.request_id = "another";
  EXPECT_THAT(Await(appender_->CreateGroup(reuse)),
              FailsWith(StatusCode::kAlreadyExists, "group.id"));
  EXPECT_THAT(Add("ann", "hiking", {{"cat", Role::kMember}}, "a2"),
              FailsWith(StatusCode::kNotFound, "group"));
}

TEST_F(LogGroupsRedisTest, DeliveryIsSwitchedByTheCountOfMembersAndByARecord) {
  MakeGroup("ann", "hiking");
  const PullThresholds thresholds{.above = 2};
  const auto decide = [&](PullThresholds by) {
    const auto decided = Await(appender_->DecideDelivery(GroupId("hiking"), by));
    EXPECT_THAT(decided, IsOk());
    return decided.value_or(DeliveryDecided());
  };
  ASSERT_THAT(Add("ann", "hiking", {{"ben", Role::kMember}}, "a1"), IsOk());
  EXPECT_EQ(decide(thresholds).delivery, Delivery::kCopied) << "2 are not more than 2";
  ASSERT_THAT(Add("ann", "hiking", {{"cat", Role::kMember}}, "a2"), IsOk());
  EXPECT_EQ(decide({.above = 0}).delivery, Delivery::kCopied) << "0 is never";
  const DeliveryDecided pulled = decide(thresholds);
  EXPECT_EQ(pulled.delivery, Delivery::kPulled);
  EXPECT_TRUE(pulled.switched);
  EXPECT_EQ(Records("hiking").back().position, pulled.position);
  EXPECT_TRUE(Records("hiking").back().record.delivery_switched().pulled());
  EXPECT_TRUE(Group("hiking").is_pulled);

  const auto before = Contents();
  const DeliveryDecided again = decide(thresholds);
  EXPECT_EQ(again.delivery, Delivery::kPulled);
  EXPECT_FALSE(again.switched);
  EXPECT_EQ(again.position, pulled.position);
  EXPECT_EQ(Contents(), before);

  ASSERT_THAT(Remove("ann", "hiking", {"cat"}, "r1"), IsOk());
  EXPECT_EQ(decide(thresholds).delivery, Delivery::kPulled) << "2 are not below four fifths of 2";
  ASSERT_THAT(Remove("ann", "hiking", {"ben"}, "r2"), IsOk());
  const DeliveryDecided copied = decide(thresholds);
  EXPECT_EQ(copied.delivery, Delivery::kCopiedAgain);
  EXPECT_TRUE(copied.switched);
  EXPECT_EQ(Records("hiking").back().record.event_case(), LogRecord::kDeliverySwitched);
  EXPECT_FALSE(Records("hiking").back().record.delivery_switched().pulled());
  EXPECT_FALSE(Group("hiking").is_pulled);
}

TEST_F(LogGroupsRedisTest, PulledGroupIsForgottenWhenItsFeedHoldsOnlyWhatWasCopied) {
  MakeGroup("ann", "hiking");
  const std::string key = keys_.Pulled(layout_.ShardOf(GroupId("hiking")));
  const auto decide = [&](uint32_t above) {
    return Await(appender_->DecideDelivery(GroupId("hiking"), {.above = above}))
        .value_or(DeliveryDecided())
        .delivery;
  };
  ASSERT_THAT(Add("ann", "hiking", {{"ben", Role::kMember}}, "a1"), IsOk());
  ASSERT_EQ(decide(1), Delivery::kPulled);
  ASSERT_THAT(Publish(Post("ann", "hiking", "pulled")), IsOk());
  ASSERT_EQ(decide(0), Delivery::kCopiedAgain);
  for (uint32_t i = 1; i < limits::kStoredSlotsMax; ++i) {
    ASSERT_THAT(Publish(Post("ann", "hiking", fmt::format("r{}", i))), IsOk());
  }
  EXPECT_EQ(decide(0), Delivery::kCopiedAgain) << "one slot is left";
  EXPECT_EQ(Redis({"HLEN", key}).integer(), 1);
  ASSERT_THAT(Publish(Post("ann", "hiking", "last")), IsOk());
  EXPECT_EQ(decide(0), Delivery::kCopied);
  EXPECT_EQ(Redis({"HLEN", key}).integer(), 0);

  ASSERT_EQ(decide(1), Delivery::kPulled);
  ASSERT_THAT(DeleteGroup("ann", "hiking"), IsOk());
  EXPECT_EQ(decide(1), Delivery::kCopied);
  EXPECT_EQ(Redis({"HLEN", key}).integer(), 0);
}

TEST_F(LogGroupsRedisTest, AddRecordsExactlyWhoJoined) {
  MakeGroup("ann", "hiking");
  const std::string longest(128, 'x');
  auto first = Add("ann", "hiking", {{"ben", Role::kMember}, {longest, Role::kOwner}}, "a1");
  ASSERT_THAT(first, IsOk());
  EXPECT_EQ(first->changed, 2u);
  auto second = Add("ann", "hiking",
                    {{"ben", Role::kOwner}, {"cat", Role::kReader}, {"ann", Role::kReader}}, "a2");
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(second->changed, 1u);
  EXPECT_EQ(second->unchanged, 2u);
  EXPECT_EQ(StayOf("ben", "hiking"), (Stay{Role::kMember, first->position, first->position}));
  EXPECT_EQ(StayOf("cat", "hiking"), (Stay{Role::kReader, second->position, second->position}));
  EXPECT_EQ(StayOf(longest.c_str(), "hiking")->role, Role::kOwner);
  EXPECT_EQ(Group("hiking").member_count, 4u);
  EXPECT_EQ(Group("hiking").owner_count, 2u);

  const auto records = Records("hiking");
  ASSERT_EQ(records.size(), 3u);
  const auto& change = records[1].record.members_changed();
  ASSERT_EQ(change.joined_size(), 2);
  EXPECT_EQ(change.joined(0).person(), "ben");
  EXPECT_EQ(change.joined(0).role(), klatch::v1::ROLE_MEMBER);
  EXPECT_EQ(change.joined(1).person(), longest);
  EXPECT_EQ(change.joined(1).role(), klatch::v1::ROLE_OWNER);
  EXPECT_FALSE(change.has_visible_from());
  EXPECT_FALSE(change.has_past());
  EXPECT_EQ(records[1].record.actor(), "ann");
  EXPECT_EQ(records[1].record.group(), "hiking");
  EXPECT_NE(records[1].record.nonce(), 0u);
  EXPECT_EQ(records[1].position, first->position);
  ASSERT_EQ(records[2].record.members_changed().joined_size(), 1);
  EXPECT_EQ(records[2].record.members_changed().joined(0).person(), "cat");
}

TEST_F(LogGroupsRedisTest, JoinersOfAnOpenHistorySeeAllOfIt) {
  MakeGroup("ann", "hiking", History::kAll);
  auto added = Add("ann", "hiking", {{"ben", Role::kMember}}, "a1");
  ASSERT_THAT(added, IsOk());
  EXPECT_EQ(StayOf("ben", "hiking"), (Stay{Role::kMember, added->position, Position()}));
  const klatch::v1::MembersChanged change = Records("hiking").back().record.members_changed();
  EXPECT_TRUE(change.has_visible_from());
  EXPECT_EQ(change.visible_from(), 0u);
  EXPECT_FALSE(change.has_past()) << "nothing was posted";

  ASSERT_THAT(Publish(Post("ann", "hiking", "p1")), IsOk());
  ASSERT_THAT(Add("ann", "hiking", {{"cat", Role::kMember}}, "a2"), IsOk());
  EXPECT_TRUE(Records("hiking").back().record.members_changed().has_past());
}

TEST_F(LogGroupsRedisTest, JoinersOfTheLastFewSeeThatManyUpdates) {
  CreateGroupCommand create = NewGroup("ann", "hiking", History::kLast);
  create.group.history_count = 3;
  ASSERT_THAT(Await(appender_->CreateGroup(create)), IsOk());
  std::vector<Position> posted;
  const auto post_until = [&](size_t count) {
    while (posted.size() < count) {
      const auto appended = Publish(Post("ann", "hiking", "p" + std::to_string(posted.size())));
      ASSERT_THAT(appended, IsOk());
      posted.push_back(appended->position);
    }
  };
  // As many as there are; then the last ones, also where the feed grows (40 slots) and where it has
  // wrapped around (880).
  for (const size_t count : {0u, 2u, 3u, 4u, 39u, 40u, 41u, 880u, 882u, 885u}) {
    SCOPED_TRACE(count);
    post_until(count);
    const std::string joiner = "joiner " + std::to_string(count);
    ASSERT_THAT(Add("ann", "hiking", {{joiner.c_str(), Role::kMember}}, joiner), IsOk());
    const Position from = count <= 3 ? Position() : posted[count - 3];
    EXPECT_EQ(StayOf(joiner.c_str(), "hiking")->visible_from, from);
    const klatch::v1::MembersChanged change = Records("hiking").back().record.members_changed();
    EXPECT_EQ(Position(change.visible_from()), from);
    EXPECT_EQ(change.has_past(), count > 0);
  }
}

TEST_F(LogGroupsRedisTest, ClosedGroupTakesNoPostsEditsAndMembers) {
  MakeGroup("ann", "hiking");
  const auto posted = Publish(Post("ann", "hiking", "p1"));
  ASSERT_THAT(posted, IsOk());
  UpdateGroupCommand command;
  command.actor = PersonId("ann");
  command.group = GroupId("hiking");
  command.closed = true;
  ASSERT_THAT(Await(appender_->UpdateGroup(command)), IsOk());
  const auto before = Contents();
  EXPECT_THAT(Publish(Post("ann", "hiking", "p2")),
              FailsWith(StatusCode::kFailedPrecondition, "update.groups"));
  EXPECT_THAT(Add("ann", "hiking", {{"ben", Role::kMember}}, "a1"),
              FailsWith(StatusCode::kFailedPrecondition, "group"));
  EXPECT_EQ(Contents(), before);
  // What was done before is still known.
  const auto again = Publish(Post("ann", "hiking", "p1"));
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->position, posted->position);
  command.closed = false;
  ASSERT_THAT(Await(appender_->UpdateGroup(command)), IsOk());
  EXPECT_THAT(Publish(Post("ann", "hiking", "p2")), IsOk());
}

TEST_F(LogGroupsRedisTest, AddWithNobodyNewAppendsNothingAndPointsAtTheLogsEnd) {
  MakeGroup("ann", "hiking");
  auto first = Add("ann", "hiking", {{"ben", Role::kMember}}, "a1");
  ASSERT_THAT(first, IsOk());
  auto second = Add("ann", "hiking", {{"ben", Role::kMember}}, "a2");
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(second->changed, 0u);
  EXPECT_EQ(second->unchanged, 1u);
  EXPECT_EQ(second->position, first->position);
  EXPECT_EQ(Records("hiking").size(), 2u);
}

TEST_F(LogGroupsRedisTest, RepeatedAddDoesNotUndoALaterLeave) {
  MakeGroup("ann", "hiking");
  auto first = Add("ann", "hiking", {{"ben", Role::kMember}, {"ann", Role::kOwner}}, "a1");
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(Remove("ben", "hiking", {"ben"}, "l1"), IsOk());
  const auto before = Contents();
  auto again = Add("ann", "hiking", {{"ben", Role::kMember}, {"ann", Role::kOwner}}, "a1");
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->position, first->position);
  EXPECT_EQ(again->changed, 1u);
  EXPECT_EQ(again->unchanged, 1u);
  EXPECT_THAT(Add("ann", "hiking", {{"cat", Role::kMember}}, "a1"),
              FailsWith(StatusCode::kAlreadyExists, "request_id"));
  EXPECT_EQ(Contents(), before);
}

TEST_F(LogGroupsRedisTest, AddNeedsAModeratorAndNoRoleAboveTheirOwn) {
  MakeGroup("ann", "hiking");
  ASSERT_THAT(Add("ann", "hiking", {{"mod", Role::kModerator}, {"ben", Role::kMember}}, "a1"),
              IsOk());
  const auto before = Contents();
  EXPECT_THAT(Add("ben", "hiking", {{"cat", Role::kReader}}, "a2"),
              FailsWith(StatusCode::kPermissionDenied, "actor"));
  EXPECT_THAT(Add("stranger", "hiking", {{"stranger", Role::kReader}}, "a2"),
              FailsWith(StatusCode::kPermissionDenied, "actor"));
  EXPECT_THAT(Add("mod", "hiking", {{"cat", Role::kMember}, {"dan", Role::kOwner}}, "a2"),
              FailsWith(StatusCode::kPermissionDenied, "members"));
  EXPECT_THAT(Add("mod", "nowhere", {{"cat", Role::kMember}}, "a2"),
              FailsWith(StatusCode::kNotFound, "group"));
  EXPECT_THAT(Add("mod", "hiking", {{"cat", Role::kModerator}}, "a2"),
              FailsWith(StatusCode::kPermissionDenied, "members"));
  EXPECT_EQ(Contents(), before);
  EXPECT_THAT(Add("mod", "hiking", {{"cat", Role::kMember}, {"dan", Role::kReader}}, "a2"), IsOk());
  EXPECT_THAT(Add("ann", "hiking", {{"eve", Role::kModerator}, {"fay", Role::kOwner}}, "a3"),
              IsOk());
}

TEST_F(LogGroupsRedisTest, RemoveRecordsExactlyWhoLeft) {
  MakeGroup("ann", "hiking");
  ASSERT_THAT(Add("ann", "hiking", {{"ben", Role::kMember}, {"cat", Role::kMember}}, "a1"), IsOk());
  auto removed = Remove("ann", "hiking", {"ben", "stranger", "cat"}, "d1");
  ASSERT_THAT(removed, IsOk());
  EXPECT_EQ(removed->changed, 2u);
  EXPECT_EQ(removed->unchanged, 1u);
  const auto records = Records("hiking");
  const LogEntry& change = records.back();
  EXPECT_EQ(change.position, removed->position);
  EXPECT_THAT(change.record.members_changed().left(), ::testing::ElementsAre("ben", "cat"));
  EXPECT_FALSE(StayOf("ben", "hiking").has_value());
  EXPECT_EQ(Group("hiking").member_count, 1u);
  auto again = Remove("ann", "hiking", {"ben", "stranger", "cat"}, "d1");
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->position, removed->position);
  auto nobody = Remove("ann", "hiking", {"ben"}, "d2");
  ASSERT_THAT(nobody, IsOk());
  EXPECT_EQ(nobody->changed, 0u);
  EXPECT_EQ(nobody->position, removed->position);
  EXPECT_THAT(Publish(Post("ben", "hiking", "r1")),
              FailsWith(StatusCode::kPermissionDenied, "actor"));
}

TEST_F(LogGroupsRedisTest, RemoveFollowsTheRolesAndEveryoneMayLeave) {
  MakeGroup("ann", "hiking");
  ASSERT_THAT(Add("ann", "hiking",
                  {{"own", Role::kOwner},
                   {"mod", Role::kModerator},
                   {"mod2", Role::kModerator},
                   {"ben", Role::kMember},
                   {"cat", Role::kReader}},
                  "a1"),
              IsOk());
  const auto before = Contents();
  EXPECT_THAT(Remove("ben", "hiking", {"cat"}, "d1"),
              FailsWith(StatusCode::kPermissionDenied, "actor"));
  EXPECT_THAT(Remove("ben", "hiking", {"ben", "cat"}, "d1"),
              FailsWith(StatusCode::kPermissionDenied, "actor"));
  EXPECT_THAT(Remove("stranger", "hiking", {"cat"}, "d1"),
              FailsWith(StatusCode::kPermissionDenied, "actor"));
  EXPECT_THAT(Remove("mod", "hiking", {"ben", "mod2"}, "d1"),
              FailsWith(StatusCode::kPermissionDenied, "persons"));
  EXPECT_THAT(Remove("mod", "hiking", {"ann"}, "d1"),
              FailsWith(StatusCode::kPermissionDenied, "persons"));
  EXPECT_THAT(Remove("ann", "hiking", {"own", "ann"}, "d1"),
              FailsWith(StatusCode::kFailedPrecondition, "persons"));
  EXPECT_EQ(Contents(), before);
  EXPECT_THAT(Remove("cat", "hiking", {"cat"}, "d1"), IsOk());
  EXPECT_THAT(Remove("mod", "hiking", {"ben"}, "d1"), IsOk());
  EXPECT_THAT(Remove("mod2", "hiking", {"mod2"}, "d1"), IsOk());
  EXPECT_THAT(Remove("ann", "hiking", {"own"}, "d1"), IsOk());
  EXPECT_THAT(Remove("ann", "hiking", {"ann"}, "d2"),
              FailsWith(StatusCode::kFailedPrecondition, "persons"));
  EXPECT_EQ(Group("hiking").owner_count, 1u);
  EXPECT_EQ(Group("hiking").member_count, 2u);  // ann and mod
}

TEST_F(LogGroupsRedisTest, StrangersWhoLeaveWriteNothing) {
  MakeGroup("ann", "hiking");
  const Position end = Records("hiking").back().position;
  const auto before = Contents();
  for (const char* memory : {"0", "1"}) {
    Redis({"CONFIG", "SET", "maxmemory", memory});
    auto left = Remove("stranger", "hiking", {"stranger"}, "d1");
    ASSERT_THAT(left, IsOk());
    EXPECT_EQ(left->changed, 0u);
    EXPECT_EQ(left->unchanged, 1u);
    EXPECT_EQ(left->position, end);
    EXPECT_EQ(Contents(), before);
  }
}

TEST_F(LogGroupsRedisTest, RemovingNobodyIsRememberedWhileThereIsMemory) {
  MakeGroup("ann", "hiking");
  ASSERT_THAT(Remove("ann", "hiking", {"ben"}, "d1"), IsOk());
  ASSERT_THAT(Add("ann", "hiking", {{"ben", Role::kMember}}, "a1"), IsOk());
  auto again = Remove("ann", "hiking", {"ben"}, "d1");
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->changed, 0u);
  EXPECT_TRUE(StayOf("ben", "hiking").has_value());
  Redis({"CONFIG", "SET", "maxmemory", "1"});
  const auto before = Contents();
  EXPECT_THAT(Remove("ann", "hiking", {"stranger"}, "d2"), IsOk());
  EXPECT_EQ(Contents(), before);
  EXPECT_THAT(Remove("ann", "hiking", {"ben"}, "d3"), IsOk());
  Redis({"CONFIG", "SET", "maxmemory", "0"});
  EXPECT_FALSE(StayOf("ben", "hiking").has_value());
}

TEST_F(LogGroupsRedisTest, PartsOfACallMeetNoOtherCallsRequestId) {
  MakeGroup("ann", "hiking");
  ASSERT_THAT(Publish(Post("ann", "hiking", "import")), IsOk());
  EXPECT_THAT(Add("ann", "hiking", {{"ben", Role::kMember}}, "import"),
              FailsWith(StatusCode::kAlreadyExists, "request_id"));
  AddMembersCommand command;
  command.actor = PersonId("ann");
  command.group = GroupId("hiking");
  command.request_id = "bulk";
  command.payload_digest = Digest("bulk");
  for (const char* person : {"ben", "cat"}) {
    command.members = {{PersonId(person), Role::kMember}};
    auto added = Await(appender_->AddMembers(command));
    ASSERT_THAT(added, IsOk());
    EXPECT_FALSE(added->replayed);
    EXPECT_EQ(added->changed, 1u);
    ++command.chunk;
  }
  for (const char* request_id : {"bulk/0", "bulk/1", "bulk:1", "bulk%3A1"}) {
    auto published = Publish(Post("ann", "hiking", request_id));
    ASSERT_THAT(published, IsOk());
    EXPECT_FALSE(published->replayed) << request_id;
  }
}

TEST_F(LogGroupsRedisTest, WhoComesBackBeginsANewStay) {
  MakeGroup("ann", "hiking");
  auto first = Add("ann", "hiking", {{"ben", Role::kMember}}, "a1");
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(Remove("ann", "hiking", {"ben"}, "d1"), IsOk());
  auto second = Add("ann", "hiking", {{"ben", Role::kMember}}, "a2");
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(StayOf("ben", "hiking")->joined, second->position);
  EXPECT_GT(second->position, first->position);
}

TEST_F(LogGroupsRedisTest, UpdateMemberChangesTheRoleAndKeepsTheStay) {
  MakeGroup("ann", "hiking");
  auto added = Add("ann", "hiking", {{"ben", Role::kMember}}, "a1");
  ASSERT_THAT(added, IsOk());
  auto updated = SetRole("ann", "hiking", "ben", Role::kOwner);
  ASSERT_THAT(updated, IsOk());
  EXPECT_EQ(updated->stay, (Stay{Role::kOwner, added->position, added->position}));
  EXPECT_EQ(StayOf("ben", "hiking"), updated->stay);
  EXPECT_EQ(Group("hiking").owner_count, 2u);
  const auto records = Records("hiking");
  ASSERT_EQ(records.back().record.members_changed().role_changed_size(), 1);
  EXPECT_EQ(records.back().record.members_changed().role_changed(0).person(), "ben");
  EXPECT_EQ(records.back().record.members_changed().role_changed(0).role(), klatch::v1::ROLE_OWNER);
  auto again = SetRole("ann", "hiking", "ben", Role::kOwner);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->position, updated->position);
  EXPECT_EQ(again->stay, updated->stay);

  ASSERT_THAT(SetRole("ben", "hiking", "ann", Role::kReader), IsOk());
  EXPECT_EQ(Group("hiking").owner_count, 1u);
  EXPECT_THAT(SetRole("ben", "hiking", "ben", Role::kMember),
              FailsWith(StatusCode::kFailedPrecondition, "member.role"));
  EXPECT_THAT(SetRole("ann", "hiking", "ann", Role::kOwner),
              FailsWith(StatusCode::kPermissionDenied, "actor"));
  EXPECT_THAT(SetRole("ben", "hiking", "stranger", Role::kMember),
              FailsWith(StatusCode::kNotFound, "member.person"));
  EXPECT_THAT(SetRole("ben", "nowhere", "ann", Role::kMember),
              FailsWith(StatusCode::kNotFound, "group"));
}

TEST_F(LogGroupsRedisTest, ScanFindsEveryMemberOfALargeGroup) {
  MakeGroup("ann", "hiking");
  std::set<std::string> expected = {"ann"};
  for (int chunk = 0; chunk < 10; ++chunk) {
    std::vector<std::pair<std::string, Role>> members;
    for (int i = 0; i < 200; ++i) {
      members.emplace_back(fmt::format("person {} {}", chunk, i), Role::kMember);
      expected.insert(members.back().first);
    }
    auto added = Add("ann", "hiking", members, fmt::format("chunk {}", chunk));
    ASSERT_THAT(added, IsOk());
    EXPECT_EQ(added->changed, 200u);
  }
  EXPECT_EQ(Group("hiking").member_count, 2001u);
  GroupStore store(*pipeline_, layout_);
  std::set<std::string> found;
  uint64_t cursor = 0;
  size_t pages = 0;
  do {
    auto scan = Await(store.ScanMembers(GroupId("hiking"), cursor, 100));
    ASSERT_THAT(scan, IsOk());
    for (const StoredMember& member : scan->members) {
      found.insert(member.person.value());
    }
    cursor = scan->next_cursor;
    ++pages;
  } while (cursor != 0);
  EXPECT_EQ(found, expected);
  EXPECT_GT(pages, 5u);
}

TEST_F(LogGroupsRedisTest, GroupStoreAnswersAbsenceAndDataLoss) {
  GroupStore store(*pipeline_, layout_);
  EXPECT_THAT(Await(store.ReadGroup(GroupId("nowhere"))),
              FailsWith(StatusCode::kNotFound, "group"));
  auto stay = Await(store.ReadStay(PersonId("ann"), GroupId("nowhere")));
  ASSERT_THAT(stay, IsOk());
  EXPECT_FALSE(stay->has_value());
  MakeGroup("ann", "hiking");
  stay = Await(store.ReadStay(PersonId("ann"), GroupId("hiking")));
  ASSERT_THAT(stay, IsOk());
  EXPECT_EQ((*stay)->role, Role::kOwner);
  Redis({"HSET", keys_.Members(GroupId("hiking")), "ann", "x"});
  Redis({"HSET", keys_.Group(GroupId("hiking")), "m", "many"});
  EXPECT_EQ(Await(store.ReadStay(PersonId("ann"), GroupId("hiking"))).status().code(),
            StatusCode::kDataLoss);
  EXPECT_EQ(Await(store.ScanMembers(GroupId("hiking"), 0, 10)).status().code(),
            StatusCode::kDataLoss);
  EXPECT_EQ(Await(store.ReadGroup(GroupId("hiking"))).status().code(), StatusCode::kDataLoss);
}

}  // namespace
}  // namespace klatch::testing
