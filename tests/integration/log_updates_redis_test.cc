// Publishing, editing and deleting updates, against a real redis-server.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "common/base/clock.h"
#include "services/log/bodies.h"
#include "services/log/log_end.h"
#include "tests/integration/log_fixture.h"

namespace klatch::testing {
namespace {

using absl::StatusCode;
using klatch::v1::LogRecord;

class LogUpdatesRedisTest : public LogRedisTest {
 protected:
  std::string StoredBody(UpdateId id) {
    return std::string(Redis({"GET", keys_.Update(id)}).text());
  }
};

TEST_F(LogUpdatesRedisTest, PublishStoresBodyFeedAndRecordUnderOnePosition) {
  MakeGroup("ann", "hiking");
  auto published = Publish(Post("ann", "hiking", "r1", "up the hill"));
  ASSERT_THAT(published, IsOk());
  EXPECT_FALSE(published->replayed);
  EXPECT_EQ(published->audience, AudienceRule::kMembersAtPosting);
  EXPECT_EQ(published->position.shard(), layout_.ShardOf(GroupId("hiking")));

  auto body = Body::Decode(StoredBody(published->position));
  ASSERT_TRUE(body.has_value());
  EXPECT_EQ(body->header().audience, AudienceRule::kMembersAtPosting);
  EXPECT_EQ(body->header().author, PersonId("ann"));
  klatch::v1::Update update;
  ASSERT_TRUE(update.ParseFromString(std::string(body->update_bytes())));
  EXPECT_EQ(update.text(), "up the hill");
  EXPECT_GT(Redis({"PTTL", keys_.Update(published->position)}).integer(), 0);

  Bodies bodies(*pipeline_, layout_);
  auto feed = Await(bodies.ReadFeed(GroupId("hiking")));
  ASSERT_THAT(feed, IsOk());
  EXPECT_THAT(*feed, ::testing::ElementsAre(published->position));

  const auto records = Records("hiking");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].record.event_case(), LogRecord::kGroupCreated);
  EXPECT_EQ(records[1].record.event_case(), LogRecord::kPublished);
  EXPECT_EQ(records[1].position, published->position);
  EXPECT_EQ(records[1].record.group(), "hiking");
  EXPECT_EQ(records[1].record.actor(), "ann");
  EXPECT_NE(records[0].record.nonce(), records[1].record.nonce());
}

TEST_F(LogUpdatesRedisTest, PublishKeepsAnAudienceThatTheUpdateNames) {
  MakeGroup("ann", "hiking");
  PublishCommand command = Post("ann", "hiking", "r1");
  command.body = BodyOf(PersonId("ann"), GroupId("hiking"), "hi", 0, AudienceRule::kMembersNow);
  auto published = Publish(command);
  ASSERT_THAT(published, IsOk());
  EXPECT_EQ(published->audience, AudienceRule::kMembersNow);
  EXPECT_EQ(StoredBody(published->position), command.body);
}

TEST_F(LogUpdatesRedisTest, PublishRefusesWhoMayNotPostAndWritesNothing) {
  MakeGroup("ann", "hiking");
  ASSERT_THAT(Add("ann", "hiking", {{"reader", Role::kReader}}, "a1"), IsOk());
  const auto before = Contents();
  EXPECT_THAT(Publish(Post("ann", "nowhere", "r1")),
              FailsWith(StatusCode::kNotFound, "update.groups"));
  EXPECT_THAT(Publish(Post("stranger", "hiking", "r1")),
              FailsWith(StatusCode::kPermissionDenied, "actor"));
  EXPECT_THAT(Publish(Post("reader", "hiking", "r1")),
              FailsWith(StatusCode::kPermissionDenied, "actor"));
  EXPECT_EQ(Contents(), before);
}

TEST_F(LogUpdatesRedisTest, PublishToADeletedGroupIsNotFound) {
  MakeGroup("ann", "hiking");
  ASSERT_THAT(Await(appender_->DeleteGroup(PersonId("ann"), GroupId("hiking"))), IsOk());
  EXPECT_THAT(Publish(Post("ann", "hiking", "r1")),
              FailsWith(StatusCode::kNotFound, "update.groups"));
}

TEST_F(LogUpdatesRedisTest, RepeatedRequestReturnsTheSameUpdateAndOtherPayloadIsRefused) {
  MakeGroup("ann", "hiking");
  auto first = Publish(Post("ann", "hiking", "r1", "one"));
  ASSERT_THAT(first, IsOk());
  const auto before = Contents();
  auto again = Publish(Post("ann", "hiking", "r1", "one"));
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->position, first->position);
  EXPECT_THAT(Publish(Post("ann", "hiking", "r1", "two")),
              FailsWith(StatusCode::kAlreadyExists, "request_id"));
  EXPECT_EQ(Contents(), before);
}

TEST_F(LogUpdatesRedisTest, BadReferenceIsRefusedUnlessTheUpdateWasPublishedBefore) {
  MakeGroup("ann", "hiking");
  auto reply = Publish(Post("ann", "hiking", "r1"));
  auto reshare = Publish(Post("ann", "hiking", "r2"));
  ASSERT_THAT(reply, IsOk());
  ASSERT_THAT(reshare, IsOk());
  const auto before = Contents();
  PublishCommand command = Post("ann", "hiking", "r1");
  command.bad_reference = BadReference::kReplyTo;
  PublishCommand second = Post("ann", "hiking", "r2");
  second.bad_reference = BadReference::kReshareOf;
  auto again = Await(appender_->Publish({command, second}));
  ASSERT_THAT(again[0], IsOk());
  ASSERT_THAT(again[1], IsOk());
  EXPECT_EQ(again[0]->position, reply->position);
  EXPECT_EQ(again[1]->position, reshare->position);
  command.request_id = "r3";
  EXPECT_THAT(Publish(command), FailsWith(StatusCode::kNotFound, "update.reply_to"));
  second.request_id = "r4";
  EXPECT_THAT(Publish(second), FailsWith(StatusCode::kNotFound, "update.reshare_of"));
  second.request_id = "r1";
  second.payload_digest = Digest("other");
  EXPECT_THAT(Publish(second), FailsWith(StatusCode::kAlreadyExists, "request_id"));
  EXPECT_EQ(Contents(), before);
}

TEST_F(LogUpdatesRedisTest, BodyIsKeptUntilItExpiresAndNeverLongerThanOthers) {
  MakeGroup("ann", "hiking");
  const int64_t now = base::UnixMs(std::chrono::system_clock::now());
  const int64_t kept = std::chrono::milliseconds(limits::kBodyRetention).count();
  for (const int64_t ahead : {int64_t{100'000}, 2 * kept}) {
    PublishCommand command = Post("ann", "hiking", std::to_string(ahead));
    command.expire_unix_ms = now + ahead;
    const auto published = Publish(command);
    ASSERT_THAT(published, IsOk());
    const int64_t left = Redis({"PTTL", keys_.Update(published->position)}).integer();
    EXPECT_LE(left, std::min(ahead, kept));
    EXPECT_GT(left, std::min(ahead, kept) - 60'000);
  }
}

TEST_F(LogUpdatesRedisTest, BadExpiryIsRefusedUnlessTheUpdateWasPublishedBefore) {
  MakeGroup("ann", "hiking");
  const auto published = Publish(Post("ann", "hiking", "key"));
  ASSERT_THAT(published, IsOk());
  const auto before = Contents();
  for (const BadExpiry bad : {BadExpiry::kTooNear, BadExpiry::kTooFar}) {
    PublishCommand command = Post("ann", "hiking", "key");
    command.bad_expiry = bad;
    const auto again = Publish(command);
    ASSERT_THAT(again, IsOk());
    EXPECT_TRUE(again->replayed);
    EXPECT_EQ(again->position, published->position);
    command.request_id = "another key";
    EXPECT_THAT(Publish(command),
                FailsWith(absl::StatusCode::kInvalidArgument, "update.expire_time"));
  }
  EXPECT_EQ(Contents(), before);
}

TEST_F(LogUpdatesRedisTest, DeletedBodyLeavesAnEmptyOneForAsLong) {
  MakeGroup("ann", "hiking");
  const auto published = Publish(Post("ann", "hiking", "key"));
  ASSERT_THAT(published, IsOk());
  const std::string key = keys_.Update(published->position);
  ASSERT_THAT(Await(appender_->Delete(
                  {PersonId("ann"), published->position, GroupId("hiking"), PersonId("ann")})),
              IsOk());
  EXPECT_EQ(Redis({"STRLEN", key}).integer(), 0);
  EXPECT_GT(Redis({"PTTL", key}).integer(), 1'000);
  const UpdateId never(published->position.value() + 1);
  std::vector<UpdateId> kept_no_longer;
  Bodies bodies(*pipeline_, layout_);
  std::vector<UpdateId> ids = {published->position, never};
  const auto found = Await(bodies.ReadBodies(std::move(ids), &kept_no_longer));
  ASSERT_THAT(found, IsOk());
  EXPECT_THAT(*found, ::testing::Each(nullptr));
  EXPECT_THAT(kept_no_longer, ::testing::ElementsAre(never));
  EXPECT_EQ(bodies.undecodable(), 0u);
}

TEST_F(LogUpdatesRedisTest, RequestIdsOfDifferentActorsAndGroupsDoNotMeet) {
  MakeGroup("ann", "a");
  MakeGroup("ann", "b");
  ASSERT_THAT(Add("ann", "a", {{"ben", Role::kMember}}, "a1"), IsOk());
  auto one = Publish(Post("ann", "a", "r", "one"));
  auto two = Publish(Post("ben", "a", "r", "two"));
  auto three = Publish(Post("ann", "b", "r", "three"));
  ASSERT_THAT(one, IsOk());
  ASSERT_THAT(two, IsOk());
  ASSERT_THAT(three, IsOk());
  EXPECT_FALSE(two->replayed);
  EXPECT_FALSE(three->replayed);
}

TEST_F(LogUpdatesRedisTest, BatchOfManyAnswersEachInOrderAndBadOnesHurtNobody) {
  MakeGroup("ann", "hiking");
  std::vector<PublishCommand> commands;
  for (int i = 0; i < 100; ++i) {
    commands.push_back(Post(i % 10 == 3 ? "stranger" : "ann", "hiking", fmt::format("r{}", i)));
  }
  commands[51] = commands[50];  // a repetition within one script
  auto results = Await(appender_->Publish(commands));
  ASSERT_EQ(results.size(), 100u);
  Position last;
  for (int i = 0; i < 100; ++i) {
    if (i % 10 == 3) {
      EXPECT_THAT(results[i], FailsWith(StatusCode::kPermissionDenied, "actor"));
    } else if (i == 51) {
      ASSERT_THAT(results[i], IsOk());
      EXPECT_TRUE(results[i]->replayed);
      EXPECT_EQ(results[i]->position, results[50]->position);
    } else {
      ASSERT_THAT(results[i], IsOk());
      EXPECT_GT(results[i]->position, last);
      last = results[i]->position;
    }
  }
  EXPECT_EQ(Records("hiking").size(), 1u + 89u);
}

TEST_F(LogUpdatesRedisTest, FeedGrowsInStepsAndThenKeepsTheNewest880) {
  MakeGroup("ann", "hiking");
  const std::string feed_key = keys_.Feed(GroupId("hiking"));
  Bodies bodies(*pipeline_, layout_);
  std::vector<UpdateId> ids;
  std::set<int64_t> lengths;
  for (int batch = 0; batch < 100; ++batch) {
    std::vector<PublishCommand> commands;
    for (int i = 0; i < 10; ++i) {
      commands.push_back(Post("ann", "hiking", std::to_string(batch * 10 + i)));
    }
    for (const auto& result : Await(appender_->Publish(commands))) {
      ASSERT_THAT(result, IsOk());
      ids.push_back(result->position);
    }
    lengths.insert(Redis({"STRLEN", feed_key}).integer());
    auto feed = Await(bodies.ReadFeed(GroupId("hiking")));
    ASSERT_THAT(feed, IsOk());
    const size_t kept = std::min<size_t>(ids.size(), limits::kStoredSlotsMax);
    EXPECT_THAT(*feed, ::testing::UnorderedElementsAreArray(ids.end() - kept, ids.end()));
  }
  EXPECT_THAT(lengths, ::testing::ElementsAre(320, 880, 1760, 3520, 7040));
  EXPECT_EQ(GroupField("hiking", "f"), "1000");
  // Preallocated by SET, never doubled by appending.
  EXPECT_LE(Redis({"MEMORY", "USAGE", feed_key}).integer(), 8400);
}

TEST_F(LogUpdatesRedisTest, EditReplacesTheBodyOnceAndOnlyForItsAuthor) {
  MakeGroup("ann", "hiking");
  ASSERT_THAT(Add("ann", "hiking", {{"ben", Role::kModerator}}, "a1"), IsOk());
  auto published = Publish(Post("ann", "hiking", "r1", "old"));
  ASSERT_THAT(published, IsOk());
  const int64_t expiry = Redis({"PEXPIRETIME", keys_.Update(published->position)}).integer();
  EditCommand edit{
      PersonId("ann"), published->position, 0,
      BodyOf(PersonId("ann"), GroupId("hiking"), "new", 1, AudienceRule::kMembersAtPosting)};
  EditCommand by_other = edit;
  by_other.actor = PersonId("ben");
  EXPECT_THAT(Await(appender_->Edit(by_other)), FailsWith(StatusCode::kPermissionDenied, "actor"));

  auto edited = Await(appender_->Edit(edit));
  ASSERT_THAT(edited, IsOk());
  EXPECT_GT(edited->position, published->position);
  EXPECT_EQ(StoredBody(published->position), edit.body);
  EXPECT_EQ(Redis({"PEXPIRETIME", keys_.Update(published->position)}).integer(), expiry);
  const auto records = Records("hiking");
  ASSERT_EQ(records.back().record.event_case(), LogRecord::kEdited);
  EXPECT_EQ(records.back().record.edited().update_id(), published->position.value());
  EXPECT_EQ(records.back().record.group(), "hiking");

  auto again = Await(appender_->Edit(edit));
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->position, edited->position);
  EditCommand late = edit;
  late.body = BodyOf(PersonId("ann"), GroupId("hiking"), "other", 1, AudienceRule::kMembersNow);
  EXPECT_EQ(Await(appender_->Edit(late)).status().code(), StatusCode::kAborted);
  EXPECT_EQ(Records("hiking").size(), records.size());

  edit.update = Position(1, layout_.ShardOf(GroupId("hiking")), 0);
  EXPECT_THAT(Await(appender_->Edit(edit)), FailsWith(StatusCode::kNotFound, "update_id"));
}

TEST_F(LogUpdatesRedisTest, EditIsRefusedToAuthorsWhoMayNotPostAnyMore) {
  MakeGroup("ann", "hiking");
  ASSERT_THAT(Add("ann", "hiking", {{"cat", Role::kMember}}, "a1"), IsOk());
  auto published = Publish(Post("cat", "hiking", "r1", "old"));
  ASSERT_THAT(published, IsOk());
  const auto edit = [&](const char* text, uint32_t revision) {
    return Await(appender_->Edit({PersonId("cat"), published->position, revision,
                                  BodyOf(PersonId("cat"), GroupId("hiking"), text, revision + 1,
                                         AudienceRule::kMembersAtPosting)}));
  };
  ASSERT_THAT(SetRole("ann", "hiking", "cat", Role::kReader), IsOk());
  auto before = Contents();
  EXPECT_THAT(edit("new", 0), FailsWith(StatusCode::kPermissionDenied, "actor"));
  EXPECT_EQ(Contents(), before);
  ASSERT_THAT(SetRole("ann", "hiking", "cat", Role::kMember), IsOk());
  ASSERT_THAT(edit("new", 0), IsOk());
  ASSERT_THAT(Remove("ann", "hiking", {"cat"}, "d1"), IsOk());
  before = Contents();
  EXPECT_THAT(edit("newer", 1), FailsWith(StatusCode::kPermissionDenied, "actor"));
  EXPECT_THAT(edit("new", 0), FailsWith(StatusCode::kPermissionDenied, "actor"));
  EXPECT_EQ(Contents(), before);
}

TEST_F(LogUpdatesRedisTest, EditUnderAnotherGroupsNameIsRefused) {
  MakeGroup("ann", "hiking");
  MakeGroup("ann", "sailing");
  auto published = Publish(Post("ann", "hiking", "r1", "old"));
  ASSERT_THAT(published, IsOk());
  const auto before = Contents();
  const absl::Status status =
      Await(appender_->Edit({PersonId("ann"), published->position, 0,
                             BodyOf(PersonId("ann"), GroupId("sailing"), "new", 1)}))
          .status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status;
  EXPECT_EQ(Contents(), before);
}

TEST_F(LogUpdatesRedisTest, DeleteIsForAuthorAndModeratorsAndHappensOnce) {
  MakeGroup("ann", "hiking");
  ASSERT_THAT(
      Add("ann", "hiking",
          {{"ben", Role::kModerator}, {"cat", Role::kMember}, {"dan", Role::kMember}}, "a1"),
      IsOk());
  auto one = Publish(Post("cat", "hiking", "r1"));
  auto two = Publish(Post("cat", "hiking", "r2"));
  ASSERT_THAT(one, IsOk());
  ASSERT_THAT(two, IsOk());
  auto command = [](const char* actor, UpdateId id) {
    return DeleteCommand{PersonId(actor), id, GroupId("hiking"), PersonId("cat")};
  };
  EXPECT_THAT(Await(appender_->Delete(command("dan", one->position))),
              FailsWith(StatusCode::kPermissionDenied, "actor"));
  EXPECT_THAT(Await(appender_->Delete(command("stranger", one->position))),
              FailsWith(StatusCode::kPermissionDenied, "actor"));
  auto by_author = Await(appender_->Delete(command("cat", one->position)));
  auto by_moderator = Await(appender_->Delete(command("ben", two->position)));
  ASSERT_THAT(by_author, IsOk());
  ASSERT_THAT(by_moderator, IsOk());
  EXPECT_EQ(StoredBody(one->position), "");
  EXPECT_EQ(StoredBody(two->position), "");
  const auto records = Records("hiking");
  EXPECT_EQ(records.back().record.deleted().update_id(), two->position.value());
  EXPECT_EQ(records.back().record.deleted().author(), "cat");
  EXPECT_EQ(records.back().record.actor(), "ben");

  auto again = Await(appender_->Delete(command("dan", one->position)));
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->position, by_moderator->position);
  EXPECT_EQ(Records("hiking").size(), records.size());
}

TEST_F(LogUpdatesRedisTest, AuthorWhoHasLeftMayStillDelete) {
  MakeGroup("ann", "hiking");
  ASSERT_THAT(Add("ann", "hiking", {{"cat", Role::kMember}}, "a1"), IsOk());
  auto one = Publish(Post("cat", "hiking", "r1"));
  ASSERT_THAT(one, IsOk());
  ASSERT_THAT(Remove("cat", "hiking", {"cat"}, "l1"), IsOk());
  EXPECT_THAT(Await(appender_->Delete(
                  {PersonId("cat"), one->position, GroupId("hiking"), PersonId("cat")})),
              IsOk());
}

TEST_F(LogUpdatesRedisTest, ReadBodiesKeepsTheOrderAndAnswersNullForWhatIsGone) {
  std::vector<UpdateId> ids;
  for (const char* group : {"a", "b", "c", "d", "e"}) {
    MakeGroup("ann", group);
    auto published = Publish(Post("ann", group, "r1", group));
    ASSERT_THAT(published, IsOk());
    ids.push_back(published->position);
  }
  Redis({"DEL", keys_.Update(ids[1])});
  Redis({"SET", keys_.Update(ids[2]), "x"});
  ids.push_back(Position(5, ShardIndex(900), 1));
  Bodies bodies(*pipeline_, layout_);
  auto read = Await(bodies.ReadBodies(ids));
  ASSERT_THAT(read, IsOk());
  ASSERT_EQ(read->size(), 6u);
  EXPECT_EQ((*read)[0]->header().group, GroupId("a"));
  EXPECT_EQ((*read)[1], nullptr);
  EXPECT_EQ((*read)[2], nullptr);
  EXPECT_EQ((*read)[3]->header().group, GroupId("d"));
  EXPECT_EQ((*read)[4]->header().group, GroupId("e"));
  EXPECT_EQ((*read)[5], nullptr);
  auto none = Await(bodies.ReadBodies({}));
  ASSERT_THAT(none, IsOk());
  EXPECT_TRUE(none->empty());
}

TEST_F(LogUpdatesRedisTest, ReadBodyNamesTheKeyOfWhatIsNoBody) {
  MakeGroup("ann", "hiking");
  auto published = Publish(Post("ann", "hiking", "r1"));
  ASSERT_THAT(published, IsOk());
  const UpdateId id = published->position;
  Bodies bodies(*pipeline_, layout_);
  auto body = Await(bodies.ReadBody(id));
  ASSERT_THAT(body, IsOk());
  EXPECT_EQ((*body)->header().author, PersonId("ann"));
  const std::string key = keys_.Update(id);
  Redis({"SET", key, "x"});
  body = Await(bodies.ReadBody(id));
  EXPECT_EQ(body.status().code(), StatusCode::kDataLoss);
  EXPECT_NE(base::MessageOf(body.status()).find(key), std::string::npos) << body.status();
  Redis({"DEL", key});
  Redis({"RPUSH", key, "planted"});
  body = Await(bodies.ReadBody(id));
  EXPECT_EQ(body.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(base::MessageOf(body.status()).find(key), std::string::npos) << body.status();
  Redis({"DEL", key});
  for (const UpdateId absent : {id, Position(5, ShardIndex(900), 1)}) {
    body = Await(bodies.ReadBody(absent));
    ASSERT_THAT(body, IsOk());
    EXPECT_EQ(*body, nullptr);
  }
}

TEST_F(LogUpdatesRedisTest, LogEndIsTheLastPositionAndReadingItWritesNothing) {
  MakeGroup("ann", "hiking");
  auto published = Publish(Post("ann", "hiking", "r1"));
  ASSERT_THAT(published, IsOk());
  const ShardIndex shard = published->position.shard();
  LogEnd log_end(*pipeline_, layout_);
  const auto before = Contents();
  auto end = Await(log_end.Read(shard));
  ASSERT_THAT(end, IsOk());
  EXPECT_EQ(*end, published->position);
  end = Await(log_end.Read(ShardIndex((shard.value() + 1) % layout_.shard_count)));
  ASSERT_THAT(end, IsOk());
  EXPECT_TRUE(end->is_zero());
  EXPECT_EQ(Contents(), before);
}

TEST_F(LogUpdatesRedisTest, TickAppendsATick) {
  auto first = Await(appender_->Tick(ShardIndex(2)));
  auto second = Await(appender_->Tick(ShardIndex(2)));
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(first->position.shard(), ShardIndex(2));
  EXPECT_GT(second->position, first->position);
}

}  // namespace
}  // namespace klatch::testing
