// The scripts of posts to several groups, step by step, and what each leaves in Redis.

#include <algorithm>

#include "common/base/bytes.h"
#include "services/log/bodies.h"
#include "services/model/limits.h"
#include "tests/integration/log_fixture.h"

namespace klatch::testing {
namespace {

using absl::StatusCode;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class LogSeveralTest : public LogRedisTest {
 protected:
  void SetUp() override {
    LogRedisTest::SetUp();
    for (const char* group : {"a", "b", "c"}) {
      MakeGroup("owner", group);
    }
    ASSERT_THAT(Add("owner", "a", {{"ann", Role::kMember}}, "a1"), IsOk());
    ASSERT_THAT(Add("owner", "b", {{"ann", Role::kMember}, {"mod", Role::kModerator}}, "b1"),
                IsOk());
  }

  static PublishSeveralCommand ToSeveral(const std::vector<std::string>& groups,
                                         std::string request_id = "r1",
                                         AudienceRule audience = AudienceRule::kGroupDefault) {
    v1::Update update;
    update.set_text("hi");
    BodyHeader header;
    header.author = PersonId("ann");
    header.audience = audience;
    std::string payload;
    for (const std::string& group : groups) {
      header.targets.push_back({GroupId(group), Carry{}});
      payload += group + ",";
    }
    PublishSeveralCommand command;
    command.actor = PersonId("ann");
    command.request_id = std::move(request_id);
    command.payload_digest = Digest(payload);
    command.body = EncodeBody(header, update.SerializeAsString());
    return command;
  }
  UpdateId Home(const std::vector<std::string>& groups, std::string request_id = "r1",
                AudienceRule audience = AudienceRule::kGroupDefault) {
    const auto published =
        Await(appender_->PublishSeveral(ToSeveral(groups, std::move(request_id), audience)));
    EXPECT_THAT(published, IsOk());
    return published.ok() ? published->id : UpdateId();
  }
  absl::StatusOr<Carry> CarryTo(UpdateId id, const char* group,
                                AudienceRule audience = AudienceRule::kGroupDefault) {
    return Await(appender_->CarryTo({id, PersonId("ann"), GroupId(group), audience}));
  }
  absl::StatusOr<Settled> Settle(UpdateId id, const std::vector<Carry>& carries,
                                 std::optional<PersonId> author = PersonId("ann"),
                                 std::string request_id = "r1") {
    return Await(appender_->Settle({id, std::move(author), std::move(request_id), carries}));
  }
  // Carried to a and b, settled.
  UpdateId Posted() {
    const UpdateId id = Home({"a", "b"});
    EXPECT_THAT(Settle(id, {*CarryTo(id, "a"), *CarryTo(id, "b")}), IsOk());
    return id;
  }

  std::optional<Body> BodyOfUpdate(UpdateId id) {
    const redis::Reply reply = Redis({"GET", keys_.Update(id)});
    return reply.is_nil() ? std::nullopt : Body::Decode(std::string(reply.text()));
  }
  std::vector<UpdateId> Feed(const char* group) {
    Bodies bodies(*pipeline_, layout_);
    auto feed = Await(bodies.ReadFeed(GroupId(group)));
    EXPECT_THAT(feed, IsOk());
    return feed.ok() ? *feed : std::vector<UpdateId>();
  }
  int64_t PendingCount(UpdateId id) {
    return Redis({"ZCARD", keys_.Pending(id.shard())}).integer();
  }
  size_t CountOf(v1::LogRecord::EventCase event) {
    const std::vector<LogEntry> records = AllRecords();
    return static_cast<size_t>(std::ranges::count_if(
        records, [event](const LogEntry& entry) { return entry.record.event_case() == event; }));
  }
  static Carry Removed() {
    return {Position(), AudienceRule::kGroupDefault, CarryRefusal::kRemoved};
  }
};

TEST_F(LogSeveralTest, HomeShardTakesThePostAndNoGroupHasItYet) {
  const UpdateId id = Home({"a", "b"});
  EXPECT_EQ(id.shard(), layout_.HomeShardOf(PersonId("ann")));
  const auto body = BodyOfUpdate(id);
  ASSERT_TRUE(body.has_value());
  EXPECT_FALSE(body->is_decided());
  EXPECT_EQ(PendingCount(id), 1);
  EXPECT_THAT(Feed("a"), IsEmpty());
  const std::vector<LogEntry> records = AllRecords();
  const auto homed =
      std::ranges::find(records, id, [](const LogEntry& entry) { return entry.position; });
  ASSERT_NE(homed, records.end());
  EXPECT_TRUE(homed->record.has_homed());
  EXPECT_EQ(homed->record.actor(), "ann");
  EXPECT_EQ(homed->record.group(), "");
}

TEST_F(LogSeveralTest, RepetitionFindsTheFirstAndOtherGroupsAreAnotherPayload) {
  const UpdateId id = Home({"a", "b"});
  PublishSeveralCommand again = ToSeveral({"a", "b"});
  again.bad_reference = BadReference::kReplyTo;  // what is accepted stays accepted
  again.bad_targets = BadTargets::kNoGroup;
  const auto repeated = Await(appender_->PublishSeveral(again));
  ASSERT_THAT(repeated, IsOk());
  EXPECT_EQ(repeated->id, id);
  EXPECT_TRUE(repeated->replayed);
  ASSERT_TRUE(repeated->stored.has_value());
  EXPECT_EQ(repeated->stored->header().targets.size(), 2u);
  EXPECT_THAT(Await(appender_->PublishSeveral(ToSeveral({"a", "c"}))),
              FailsWith(StatusCode::kAlreadyExists, "request_id"));
  Redis({"DEL", keys_.Update(id)});
  EXPECT_FALSE(Await(appender_->PublishSeveral(again))->stored.has_value());
  EXPECT_EQ(CountOf(v1::LogRecord::kHomed), 1u);
  // A request id of a post to one group is another one.
  EXPECT_THAT(Publish(Post("ann", "a", "r1")), IsOk());
}

TEST_F(LogSeveralTest, WhatIsRefusedAtHomeWritesNothing) {
  const auto before = Contents();
  PublishSeveralCommand command = ToSeveral({"a"});
  command.bad_reference = BadReference::kReshareOf;
  EXPECT_THAT(Await(appender_->PublishSeveral(command)),
              FailsWith(StatusCode::kNotFound, "update.reshare_of"));
  command.bad_reference = BadReference::kNone;
  command.bad_targets = BadTargets::kNoGroup;
  EXPECT_THAT(Await(appender_->PublishSeveral(command)),
              FailsWith(StatusCode::kFailedPrecondition, "all_my_groups"));
  command.bad_targets = BadTargets::kTooMany;
  EXPECT_THAT(Await(appender_->PublishSeveral(command)),
              FailsWith(StatusCode::kFailedPrecondition, "all_my_groups"));
  EXPECT_EQ(Contents(), before);
}

TEST_F(LogSeveralTest, GroupTakesItOnceAndStaysWithThat) {
  const UpdateId id = Home({"a"});
  const auto carry = CarryTo(id, "a");
  ASSERT_THAT(carry, IsOk());
  EXPECT_EQ(carry->position.shard(), layout_.ShardOf(GroupId("a")));
  EXPECT_EQ(carry->audience, AudienceRule::kMembersAtPosting);
  EXPECT_THAT(Feed("a"), ElementsAre(id));
  ASSERT_THAT(Remove("owner", "a", {"ann"}, "d1"), IsOk());
  EXPECT_EQ(*CarryTo(id, "a"), *carry);
  EXPECT_THAT(Feed("a"), ElementsAre(id));
  EXPECT_EQ(GroupField("a", "f"), "1");
  std::vector<LogEntry> records = Records("a");
  std::erase_if(records, [](const LogEntry& entry) { return !entry.record.has_carried(); });
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].position, carry->position);
  EXPECT_EQ(records[0].record.carried().update_id(), id.value());
  EXPECT_EQ(records[0].record.group(), "a");
  EXPECT_EQ(records[0].record.actor(), "ann");
}

TEST_F(LogSeveralTest, GroupRefusesAndStaysWithThat) {
  const UpdateId id = Home({"c", "nowhere"});
  EXPECT_EQ(CarryTo(id, "c")->refusal, CarryRefusal::kNotMember);
  EXPECT_EQ(CarryTo(id, "nowhere")->refusal, CarryRefusal::kNoGroup);
  ASSERT_THAT(Add("owner", "c", {{"ann", Role::kMember}}, "c1"), IsOk());
  MakeGroup("ann", "nowhere");
  EXPECT_EQ(CarryTo(id, "c")->refusal, CarryRefusal::kNotMember);
  EXPECT_EQ(CarryTo(id, "nowhere")->refusal, CarryRefusal::kNoGroup);
  EXPECT_EQ(CountOf(v1::LogRecord::kCarried), 0u);
  // Strangers may make a group remember it, so not for as long as a body.
  const int64_t left_ms = Redis({"PTTL", keys_.Carry(GroupId("c"), id)}).integer();
  EXPECT_GT(left_ms, 0);
  EXPECT_LE(left_ms, milliseconds(limits::kRefusalRetention).count());
}

TEST_F(LogSeveralTest, RolesAndDeletedGroupsRefuse) {
  ASSERT_THAT(SetRole("owner", "a", "ann", Role::kReader), IsOk());
  ASSERT_THAT(Await(appender_->DeleteGroup(PersonId("owner"), GroupId("b"))), IsOk());
  const UpdateId id = Home({"a", "b"});
  EXPECT_EQ(CarryTo(id, "a")->refusal, CarryRefusal::kRoleTooLow);
  EXPECT_EQ(CarryTo(id, "b")->refusal, CarryRefusal::kNoGroup);
}

TEST_F(LogSeveralTest, GroupDeletedBetweenHomeAndCarryRefusesForGood) {
  const UpdateId id = Home({"a", "b"});
  ASSERT_THAT(Await(appender_->DeleteGroup(PersonId("owner"), GroupId("b"))), IsOk());
  for (int attempt = 0; attempt < 2; ++attempt) {
    const Carry a = *CarryTo(id, "a");
    EXPECT_EQ(a.refusal, CarryRefusal::kNone);
    const Carry b = *CarryTo(id, "b");
    EXPECT_EQ(b.refusal, CarryRefusal::kNoGroup);
    ASSERT_THAT(Settle(id, {a, b}), IsOk());
    const auto body = BodyOfUpdate(id);
    ASSERT_TRUE(body.has_value());
    EXPECT_EQ(body->header().targets[0].carry, a);
    EXPECT_EQ(body->header().targets[1].carry, b);
  }
  EXPECT_THAT(Feed("a"), ElementsAre(id));
  EXPECT_EQ(Redis({"EXISTS", keys_.Feed(GroupId("b"))}).integer(), 0);
  EXPECT_EQ(CountOf(v1::LogRecord::kCarried), 1u);
  EXPECT_EQ(PendingCount(id), 0);
}

TEST_F(LogSeveralTest, AudienceAskedForGoesBeforeTheGroups) {
  const UpdateId id = Home({"a"}, "r1", AudienceRule::kMembersNow);
  EXPECT_EQ(CarryTo(id, "a", AudienceRule::kMembersNow)->audience, AudienceRule::kMembersNow);
}

TEST_F(LogSeveralTest, SettlingWritesIntoTheBodyInPlace) {
  const UpdateId id = Home({"a", "c", "b"});
  Redis({"PEXPIRE", keys_.Update(id), "5000000"});
  const Carry a = *CarryTo(id, "a");
  ASSERT_THAT(Settle(id, {a, Carry{}, Carry{}}), IsOk());
  EXPECT_EQ(PendingCount(id), 1) << "not all is decided";
  EXPECT_EQ(BodyOfUpdate(id)->header().targets[0].carry, a);
  const Carry c = *CarryTo(id, "c");
  const Carry b = *CarryTo(id, "b");
  const auto settled = Settle(id, {Carry{}, c, b});
  ASSERT_THAT(settled, IsOk());
  EXPECT_EQ(settled->carried, 2u);
  EXPECT_EQ(PendingCount(id), 0);
  const auto body = BodyOfUpdate(id);
  ASSERT_TRUE(body.has_value());
  EXPECT_EQ(body->header().targets[0].carry, a);
  EXPECT_EQ(body->header().targets[1].carry, c);
  EXPECT_EQ(body->header().targets[2].carry, b);
  v1::Update update;
  ASSERT_TRUE(update.ParseFromString(std::string(body->update_bytes())));
  EXPECT_EQ(update.text(), "hi");
  EXPECT_LE(Redis({"PTTL", keys_.Update(id)}).integer(), 5'000'000);
  EXPECT_EQ(CountOf(v1::LogRecord::kSettled), 0u) << "nobody keeps what is not decided";
  // What is decided stays.
  ASSERT_THAT(Settle(id, {c, a, Carry{}}), IsOk());
  EXPECT_EQ(BodyOfUpdate(id)->stored(), body->stored());
}

TEST_F(LogSeveralTest, PostThatNoGroupTookLeavesNothing) {
  const UpdateId id = Home({"c", "nowhere"});
  const auto settled = Settle(id, {*CarryTo(id, "c"), *CarryTo(id, "nowhere")});
  ASSERT_THAT(settled, IsOk());
  EXPECT_EQ(settled->carried, 0u);
  EXPECT_FALSE(BodyOfUpdate(id).has_value());
  EXPECT_EQ(PendingCount(id), 0);
  EXPECT_NE(Home({"c", "nowhere"}), id) << "asked again, it is another post";
}

TEST_F(LogSeveralTest, ModeratorTakesItOutOfTheirGroup) {
  const UpdateId id = Posted();
  const auto remove = [&](const char* actor, const char* group) {
    return Await(appender_->RemoveUpdate(PersonId(actor), GroupId(group), id));
  };
  EXPECT_THAT(remove("ann", "b"), FailsWith(StatusCode::kPermissionDenied, "actor"));
  EXPECT_THAT(remove("mod", "a"), FailsWith(StatusCode::kPermissionDenied, "actor"));
  EXPECT_THAT(remove("owner", "c"), FailsWith(StatusCode::kNotFound, "update_id"));
  const auto removed = remove("mod", "b");
  ASSERT_THAT(removed, IsOk());
  EXPECT_FALSE(removed->replayed);
  EXPECT_EQ(CarryTo(id, "b")->refusal, CarryRefusal::kRemoved);
  EXPECT_GT(Redis({"PTTL", keys_.Carry(GroupId("b"), id)}).integer(), 1'000'000);
  const auto again = remove("mod", "b");
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(CountOf(v1::LogRecord::kRemoved), 1u);

  const auto settled = Settle(id, {Carry{}, Removed()}, std::nullopt, "");
  ASSERT_THAT(settled, IsOk());
  EXPECT_EQ(settled->carried, 1u);
  EXPECT_TRUE(BodyOfUpdate(id)->header().targets[0].carry.is_carried());
  EXPECT_EQ(BodyOfUpdate(id)->header().targets[1].carry, Removed());
  const std::vector<LogEntry> records = AllRecords();
  const auto record = std::ranges::find(records, settled->position,
                                        [](const LogEntry& entry) { return entry.position; });
  ASSERT_NE(record, records.end());
  EXPECT_EQ(record->record.settled().update_id(), id.value());

  ASSERT_THAT(remove("owner", "a"), IsOk());
  ASSERT_THAT(Settle(id, {Removed(), Removed()}, std::nullopt, ""), IsOk());
  EXPECT_FALSE(BodyOfUpdate(id).has_value()) << "no group has it";
  EXPECT_EQ(Home({"a", "b"}), id) << "it was posted, and a repetition knows";
}

// Otherwise who settles next, and takes it for carried, would keep it in memory so.
TEST_F(LogSeveralTest, RemovalBeforeThePostIsSettledIsTold) {
  const UpdateId id = Home({"b"});
  const Carry carried = *CarryTo(id, "b");
  ASSERT_THAT(Await(appender_->RemoveUpdate(PersonId("mod"), GroupId("b"), id)), IsOk());
  ASSERT_THAT(Settle(id, {Removed()}, std::nullopt, ""), IsOk());
  EXPECT_EQ(CountOf(v1::LogRecord::kSettled), 1u);
  ASSERT_THAT(Settle(id, {carried}), IsOk());
  EXPECT_FALSE(BodyOfUpdate(id).has_value());
}

TEST_F(LogSeveralTest, EditKeepsWhatIsSettledMeanwhile) {
  const UpdateId id = Home({"a", "b"});
  const Body before = *BodyOfUpdate(id);
  const Carry a = *CarryTo(id, "a");
  const Carry b = *CarryTo(id, "b");
  ASSERT_THAT(Settle(id, {a, b}), IsOk());
  BodyHeader header = before.header();
  header.revision = 1;
  header.audience = AudienceRule::kMembersNow;
  v1::Update changed;
  changed.set_text("changed");
  EditSeveralCommand command{
      PersonId("ann"), id, 0, EncodeBody(header, changed.SerializeAsString()), {GroupId("a")}};
  const auto edited = Await(appender_->EditSeveral(command));
  ASSERT_THAT(edited, IsOk());
  EXPECT_FALSE(edited->replayed);
  const auto after = BodyOfUpdate(id);
  ASSERT_TRUE(after.has_value());
  EXPECT_EQ(after->header().targets[0].carry, a);
  EXPECT_EQ(after->header().targets[1].carry, b);
  EXPECT_EQ(after->header().revision, 1u);
  EXPECT_EQ(after->update_bytes(), changed.SerializeAsString());
  EXPECT_GT(Redis({"PTTL", keys_.Update(id)}).integer(), 0);
  const auto again = Await(appender_->EditSeveral(command));
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  command.actor = PersonId("mod");
  EXPECT_THAT(Await(appender_->EditSeveral(command)),
              FailsWith(StatusCode::kPermissionDenied, "actor"));
  command.actor = PersonId("ann");
  command.body = before.stored();
  EXPECT_TRUE(absl::IsAborted(Await(appender_->EditSeveral(command)).status()));
  Redis({"DEL", keys_.Update(id)});
  EXPECT_THAT(Await(appender_->EditSeveral(command)),
              FailsWith(StatusCode::kNotFound, "update_id"));
}

TEST_F(LogSeveralTest, AuthorDeletesTheWholeAndWhatIsLeftIsSweptUp) {
  const UpdateId id = Home({"a", "b"});
  ASSERT_THAT(CarryTo(id, "a"), IsOk());
  EXPECT_THAT(Await(appender_->DeleteSeveral(PersonId("mod"), id, {})),
              FailsWith(StatusCode::kPermissionDenied, "actor"));
  const auto deleted = Await(appender_->DeleteSeveral(PersonId("ann"), id, {GroupId("a")}));
  ASSERT_THAT(deleted, IsOk());
  EXPECT_FALSE(BodyOfUpdate(id).has_value());
  EXPECT_TRUE(Await(appender_->DeleteSeveral(PersonId("ann"), id, {}))->replayed);
  ASSERT_THAT(Settle(id, {}), IsOk());
  EXPECT_EQ(PendingCount(id), 0);
  const std::vector<LogEntry> records = AllRecords();
  const auto record = std::ranges::find(records, deleted->position,
                                        [](const LogEntry& entry) { return entry.position; });
  ASSERT_NE(record, records.end());
  EXPECT_EQ(record->record.deleted().update_id(), id.value());
  EXPECT_THAT(record->record.deleted().groups(), ElementsAre("a"));
}

// A feed holds ids, which may be of other shards; what is open to a joiner is told by positions of
// the group's own.
TEST_F(LogSeveralTest, LastUpdatesThatAJoinerSeesBeginWhereTheGroupHasThem) {
  CreateGroupCommand command = NewGroup("ann", "last");
  command.group.history = History::kLast;
  command.group.history_count = 2;
  ASSERT_THAT(Await(appender_->CreateGroup(command)), IsOk());
  const auto joined_from = [&](const char* person) {
    EXPECT_THAT(Add("ann", "last", {{person, Role::kMember}}, person), IsOk());
    return StayOf(person, "last")->visible_from;
  };
  std::vector<UpdateId> ids;
  std::vector<Position> positions;
  for (int i = 0; i < 3; ++i) {
    ids.push_back(Home({"last"}, "r" + std::to_string(i)));
    positions.push_back(CarryTo(ids.back(), "last")->position);
  }
  EXPECT_EQ(joined_from("p1"), positions[1]);
  const auto alone = Publish(Post("ann", "last", "alone"));
  ASSERT_THAT(alone, IsOk());
  EXPECT_EQ(joined_from("p2"), positions[2]);
  ASSERT_THAT(Await(appender_->RemoveUpdate(PersonId("ann"), GroupId("last"), ids[2])), IsOk());
  EXPECT_EQ(joined_from("p3"), alone->position) << "the removed one's place is not known";
  ASSERT_THAT(Publish(Post("ann", "last", "second")), IsOk());
  EXPECT_EQ(joined_from("p4"), alone->position);
}

TEST_F(LogSeveralTest, ClosedGroupRefuses) {
  CreateGroupCommand command = NewGroup("ann", "closed");
  command.group.closed = true;
  ASSERT_THAT(Await(appender_->CreateGroup(command)), IsOk());
  const UpdateId id = Home({"closed"});
  EXPECT_EQ(CarryTo(id, "closed")->refusal, CarryRefusal::kClosed);
  EXPECT_EQ(CarryTo(id, "closed")->refusal, CarryRefusal::kClosed);
}

TEST_F(LogSeveralTest, PendingPostsAreTakenOldestFirstAndNotTwice) {
  std::vector<UpdateId> posted;
  for (int i = 0; i < 3; ++i) {
    posted.push_back(Home({"a"}, "r" + std::to_string(i)));
    // Set by hand: they may be of one millisecond.
    Redis({"ZADD", keys_.Pending(posted[0].shard()), std::to_string(i),
           std::string(Redis({"ZRANGE", keys_.Pending(posted[0].shard()), "-1", "-1"})[0].text())});
  }
  const auto take = [&](size_t count) {
    return Await(appender_->TakePending(posted[0].shard(), milliseconds(60'000), count));
  };
  const auto two = take(2);
  ASSERT_THAT(two, IsOk());
  ASSERT_EQ(two->size(), 2u);
  EXPECT_EQ((*two)[0].update, posted[0]);
  EXPECT_EQ((*two)[0].request_id, "r0");
  EXPECT_EQ((*two)[1].update, posted[1]);
  const auto rest = take(2);
  ASSERT_EQ(rest->size(), 1u);
  EXPECT_EQ((*rest)[0].request_id, "r2");
  EXPECT_THAT(*take(2), IsEmpty()) << "they wait anew";
}

TEST_F(LogSeveralTest, RemovalIsNotSweptWhileItsCallMayRun) {
  const UpdateId id = Posted();
  ASSERT_TRUE(Await(appender_->AwaitSettling(id)).ok());
  EXPECT_EQ(PendingCount(id), 1);
  EXPECT_THAT(*Await(appender_->TakePending(id.shard(), milliseconds(0), 9)), IsEmpty());
  ASSERT_THAT(Settle(id, {Carry{}, Removed()}, std::nullopt, ""), IsOk());
  EXPECT_EQ(PendingCount(id), 0);
}

TEST_F(LogSeveralTest, WhatWasNotedBeforeTheClockWentBackIsTakenAllTheSame) {
  const UpdateId id = Home({"a"}, "r");
  const std::string pending = keys_.Pending(id.shard());
  const std::string member(Redis({"ZRANGE", pending, "-1", "-1"})[0].text());
  const auto score = [&] {
    return std::stod(std::string(Redis({"ZSCORE", pending, member}).text()));
  };
  const double noted = score();
  const double hour = 3'600'000;
  Redis({"ZADD", pending, std::to_string(static_cast<int64_t>(noted + hour)), member});
  EXPECT_THAT(*Await(appender_->TakePending(id.shard(), milliseconds(0), 9)), IsEmpty());
  // As far ahead as anybody notes, and no further.
  EXPECT_LT(score(), noted + hour / 2);
  EXPECT_THAT(*Await(appender_->TakePending(id.shard(), milliseconds(0), 9)), IsEmpty())
      << "whoever has noted it may not be done";
}

TEST_F(LogSeveralTest, BodyThatIsNotSettledIsReadWithWhatTheGroupsDecided) {
  const UpdateId id = Home({"a", "b", "c"});
  const Carry a = *CarryTo(id, "a");
  ASSERT_THAT(CarryTo(id, "c"), IsOk());
  Bodies bodies(*pipeline_, layout_);
  const auto one = Await(bodies.ReadBody(id));
  ASSERT_THAT(one, IsOk());
  ASSERT_NE(*one, nullptr);
  EXPECT_TRUE((*one)->is_provisional());
  EXPECT_EQ((*one)->header().targets[0].carry, a);
  EXPECT_FALSE((*one)->header().targets[1].carry.is_decided());
  EXPECT_EQ((*one)->header().targets[2].carry.refusal, CarryRefusal::kNotMember);
  const UpdateId settled = [&] {
    const UpdateId other = Home({"a"}, "r2");
    EXPECT_THAT(Settle(other, {*CarryTo(other, "a")}, PersonId("ann"), "r2"), IsOk());
    return other;
  }();
  const auto both = Await(bodies.ReadBodies({settled, UpdateId(id.value() + 1), id}));
  ASSERT_THAT(both, IsOk());
  ASSERT_EQ(both->size(), 3u);
  EXPECT_FALSE((*both)[0]->is_provisional());
  EXPECT_EQ((*both)[1], nullptr);
  EXPECT_TRUE((*both)[2]->is_provisional());
  EXPECT_EQ((*both)[2]->header().targets[0].carry, a);
}

TEST_F(LogSeveralTest, WhatIsNoCarryIsNamedAndNothingWritten) {
  const UpdateId id = Home({"a"});
  const std::string carry = keys_.Carry(GroupId("a"), id);
  const auto fails_naming = [&](const absl::Status& status, const std::string& key) {
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status;
    EXPECT_NE(base::MessageOf(status).find(key), std::string::npos) << status;
  };
  for (const std::string& planted : {std::string("short"), std::string(8, '\xff') + "x"}) {
    Redis({"SET", carry, planted});
    const auto before = Contents();
    fails_naming(CarryTo(id, "a").status(), carry);
    fails_naming(Await(appender_->RemoveUpdate(PersonId("owner"), GroupId("a"), id)).status(),
                 carry);
    EXPECT_EQ(Contents(), before);
  }
  Redis({"DEL", carry});
  for (const std::string& key :
       {keys_.Pending(id.shard()), keys_.OnceSeveral(PersonId("ann"), "r1"), keys_.Update(id)}) {
    const std::string saved(Redis({"DUMP", key}).text());
    Redis({"DEL", key});
    Redis({"RPUSH", key, "planted"});
    const auto before = Contents();
    fails_naming(Settle(id, {Removed()}).status(), key);
    EXPECT_EQ(Contents(), before);
    Redis({"DEL", key});
    Redis({"RESTORE", key, "0", saved});
  }
  fails_naming(Settle(id, {Removed(), Removed()}).status(), keys_.Update(id));
}

}  // namespace
}  // namespace klatch::testing
