#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <set>
#include <string>

#include "accept_fakes.h"
#include "services/accept/feed_writes.h"
#include "services/accept/update_message.h"

namespace klatch {
namespace {

using std::chrono::milliseconds;
using testing::Await;

constexpr base::MonotonicTime kDeadline = base::MonotonicTime::max();

std::string FieldOf(const absl::Status& status) {
  const auto violation = base::FieldViolationOf(status);
  return violation ? violation->field : "";
}

class FeedWritesTest : public ::testing::Test {
 protected:
  FeedWritesTest()
      : appender_(layout_),
        bodies_(1 << 20),
        admission_(appender_, pressure_, Admission::Bounds{}),
        executor_(1, "test"),
        writes_({layout_, appender_, bodies_, facts_, facts_, rights_, barrier_, admission_,
                 executor_, clock_}) {}

  static v1::PublishUpdateRequest Request(const std::string& text) {
    v1::PublishUpdateRequest request;
    request.set_actor("ann");
    request.set_request_id("key");
    request.mutable_update()->set_text(text);
    request.mutable_update()->add_groups("hiking");
    return request;
  }

  absl::StatusOr<v1::PublishUpdateResponse> Publish(v1::PublishUpdateRequest request) {
    return Await(writes_.Publish(std::move(request), kDeadline));
  }

  // An update of ann's in hiking, where she and bob are members.
  UpdateId StoredUpdate() {
    const UpdateId id(500, layout_.ShardOf(GroupId("hiking")), 1);
    v1::Update content;
    content.set_text("old");
    content.add_groups("hiking");
    content.mutable_place()->set_label("here");
    BodyHeader header{AudienceRule::kMembersNow, 3, PersonId("ann"), GroupId("hiking")};
    auto body = Body::Decode(EncodeBody(header, UpdateBytes(content, header.author)));
    facts_.bodies[id] = std::make_shared<const Body>(*std::move(body));
    facts_.roles[{"hiking", "ann"}] = Role::kMember;
    facts_.roles[{"hiking", "bob"}] = Role::kMember;
    return id;
  }

  static v1::EditUpdateRequest EditRequest(UpdateId id, const std::string& actor) {
    v1::EditUpdateRequest request;
    request.set_actor(actor);
    request.set_update_id(id.value());
    request.mutable_update()->set_text("new");
    return request;
  }

  absl::StatusOr<v1::EditUpdateResponse> Edit(v1::EditUpdateRequest request) {
    return Await(writes_.Edit(std::move(request), kDeadline));
  }
  absl::StatusOr<v1::DeleteUpdateResponse> Delete(UpdateId id, const std::string& actor) {
    v1::DeleteUpdateRequest request;
    request.set_actor(actor);
    request.set_update_id(id.value());
    return Await(writes_.Delete(std::move(request), kDeadline));
  }

  const Layout layout_;
  testing::FakeAppender appender_;
  testing::FakePressure pressure_;
  testing::FakeFacts facts_;
  testing::FakeRights rights_;
  testing::FakeBarrier barrier_;
  testing::FakeClock clock_;
  BodyStore bodies_;
  Admission admission_;
  base::Executor executor_;
  FeedWrites writes_;
};

TEST_F(FeedWritesTest, PublishStoresOnlyWhatIsTheClients) {
  v1::PublishUpdateRequest request = Request("hello");
  request.mutable_update()->set_author("somebody else");
  request.mutable_update()->set_revision(9);
  request.mutable_update()->set_id(77);
  const auto response = Publish(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->update_id(), appender_.last.value());
  EXPECT_EQ(response->tokens(0).shard(), layout_.ShardOf(GroupId("hiking")).value());
  EXPECT_EQ(response->tokens(0).position(), response->update_id());

  ASSERT_EQ(appender_.published.size(), 1u);
  const auto body = Body::Decode(appender_.published[0].body);
  ASSERT_TRUE(body);
  EXPECT_EQ(body->header().author, PersonId("ann"));
  EXPECT_EQ(body->header().group, GroupId("hiking"));
  EXPECT_EQ(body->header().revision, 0u);
  EXPECT_EQ(body->header().audience, AudienceRule::kGroupDefault);
  v1::Update stored;
  ASSERT_TRUE(stored.ParseFromString(std::string(body->update_bytes())));
  EXPECT_EQ(stored.author(), "ann");
  EXPECT_EQ(stored.text(), "hello");
  EXPECT_EQ(stored.id(), 0u);
  EXPECT_EQ(stored.revision(), 0u);
}

TEST_F(FeedWritesTest, DigestIsOfTheContentOnly) {
  v1::PublishUpdateRequest with_output = Request("hello");
  with_output.mutable_update()->set_id(5);
  with_output.mutable_update()->set_author("x");
  ASSERT_TRUE(Publish(Request("hello")).ok());
  ASSERT_TRUE(Publish(with_output).ok());
  ASSERT_TRUE(Publish(Request("hello!")).ok());
  v1::PublishUpdateRequest audience = Request("hello");
  audience.mutable_update()->set_audience(v1::AUDIENCE_MEMBERS_NOW);
  ASSERT_TRUE(Publish(audience).ok());
  const auto& published = appender_.published;
  EXPECT_EQ(published[0].payload_digest.size(), 16u);
  EXPECT_EQ(published[0].payload_digest, published[1].payload_digest);
  EXPECT_NE(published[0].payload_digest, published[2].payload_digest);
  EXPECT_NE(published[0].payload_digest, published[3].payload_digest);
}

TEST_F(FeedWritesTest, KeepsAnAcceptedBodyWithItsResolvedAudience) {
  appender_.audience = AudienceRule::kMembersNow;
  const auto response = Publish(Request("hello"));
  ASSERT_TRUE(response.ok());
  const auto kept = bodies_.Find(UpdateId(response->update_id()));
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(kept->header().audience, AudienceRule::kMembersNow);
}

TEST_F(FeedWritesTest, KeepsNoBodyOfAReplay) {
  appender_.replayed = true;
  const auto response = Publish(Request("hello"));
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(bodies_.Find(UpdateId(response->update_id())), nullptr);
}

TEST_F(FeedWritesTest, BadRequestsAppendNothing) {
  v1::PublishUpdateRequest no_actor = Request("x");
  no_actor.clear_actor();
  EXPECT_EQ(FieldOf(Publish(no_actor).status()), "actor");
  v1::PublishUpdateRequest no_key = Request("x");
  no_key.clear_request_id();
  EXPECT_EQ(FieldOf(Publish(no_key).status()), "request_id");
  v1::PublishUpdateRequest elsewhere = Request("x");
  elsewhere.set_namespace_("elsewhere");
  EXPECT_TRUE(absl::IsNotFound(Publish(elsewhere).status()));
  v1::PublishUpdateRequest twice = Request("x");
  twice.mutable_update()->add_groups("hiking");
  EXPECT_EQ(FieldOf(Publish(twice).status()), "update.groups[1]");
  EXPECT_EQ(FieldOf(Publish(Request("")).status()), "update.text");
  EXPECT_EQ(appender_.publish_calls, 0u);
}

TEST_F(FeedWritesTest, TellsTheLogWhatTheActorCannotSee) {
  const UpdateId id = StoredUpdate();
  v1::PublishUpdateRequest reply = Request("re");
  reply.mutable_update()->set_reply_to(id.value());
  ASSERT_TRUE(Publish(reply).ok());
  reply.set_actor("eve");
  ASSERT_TRUE(Publish(reply).ok());
  v1::PublishUpdateRequest reshare = Request("re");
  reshare.mutable_update()->set_reshare_of(12345);
  ASSERT_TRUE(Publish(reshare).ok());
  v1::BatchPublishUpdatesRequest batch;
  for (const auto& item : {Request("x"), reply, reshare}) {
    *batch.add_requests() = item;
  }
  ASSERT_TRUE(Await(writes_.BatchPublish(batch, kDeadline)).ok());
  const auto& published = appender_.published;
  ASSERT_EQ(published.size(), 6u);
  EXPECT_EQ(published[0].bad_reference, BadReference::kNone);
  EXPECT_EQ(published[1].bad_reference, BadReference::kReplyTo);
  EXPECT_EQ(published[2].bad_reference, BadReference::kReshareOf);
  EXPECT_EQ(published[3].bad_reference, BadReference::kNone);
  EXPECT_EQ(published[4].bad_reference, BadReference::kReplyTo);
  EXPECT_EQ(published[5].bad_reference, BadReference::kReshareOf);
}

// The log decides, since it knows whether this is the repetition of a post whose time has come since.
TEST_F(FeedWritesTest, TellsTheLogWhichExpiryCannotBe) {
  const int64_t now = base::UnixMs(clock_.wall);
  const int64_t kept = std::chrono::milliseconds(limits::kBodyRetention).count();
  const struct {
    int64_t ahead_ms;
    BadExpiry bad;
  } rows[] = {{-1, BadExpiry::kTooNear},
              {0, BadExpiry::kTooNear},
              {59'999, BadExpiry::kTooNear},
              {60'000, BadExpiry::kNone},
              {kept, BadExpiry::kNone},
              {kept + 1, BadExpiry::kTooFar},
              {int64_t{1} << 45, BadExpiry::kTooFar}};
  for (const auto& row : rows) {
    v1::PublishUpdateRequest request = Request("hi");
    *request.mutable_update()->mutable_expire_time() =
        google::protobuf::util::TimeUtil::MillisecondsToTimestamp(now + row.ahead_ms);
    ASSERT_TRUE(Publish(request).ok());
    EXPECT_EQ(appender_.published.back().bad_expiry, row.bad) << row.ahead_ms;
    EXPECT_EQ(appender_.published.back().expire_unix_ms, now + row.ahead_ms);
    EXPECT_EQ(Body::Decode(appender_.published.back().body)->header().expire_unix_ms,
              now + row.ahead_ms);
  }
  ASSERT_TRUE(Publish(Request("hi")).ok());
  EXPECT_EQ(appender_.published.back().bad_expiry, BadExpiry::kNone);
  EXPECT_EQ(appender_.published.back().expire_unix_ms, kNeverUnixMs);
}

TEST_F(FeedWritesTest, AppendsNothingWhenTheReferenceCouldNotBeLookedUp) {
  facts_.unreadable = base::Error(absl::StatusCode::kUnavailable, "Redis is away");
  v1::PublishUpdateRequest reply = Request("re");
  reply.mutable_update()->set_reply_to(12345);
  EXPECT_TRUE(absl::IsUnavailable(Publish(reply).status()));
  EXPECT_EQ(appender_.publish_calls, 0u);
}

TEST_F(FeedWritesTest, AppendsNothingWhenTheDeadlineCameDuringTheChecks) {
  const UpdateId id = StoredUpdate();
  facts_.on_find = [this] { clock_.monotonic += std::chrono::seconds(5); };
  const base::MonotonicTime deadline = clock_.monotonic + std::chrono::seconds(3);
  v1::PublishUpdateRequest reply = Request("re");
  reply.mutable_update()->set_reply_to(id.value());
  const absl::Status late = Await(writes_.Publish(reply, deadline)).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(late));
  EXPECT_EQ(base::ReasonOf(late), "NOT_SENT");
  v1::BatchPublishUpdatesRequest batch;
  *batch.add_requests() = Request("x");
  *batch.add_requests() = Request("");
  *batch.add_requests() = reply;
  const auto results = Await(writes_.BatchPublish(batch, deadline));
  ASSERT_TRUE(results.ok());
  EXPECT_EQ(results->results(0).error().code(),
            static_cast<int>(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(results->results(1).error().code(),
            static_cast<int>(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(results->results(2).error().code(),
            static_cast<int>(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(appender_.publish_calls, 0u);
}

TEST_F(FeedWritesTest, BatchLooksUpItsReferencesSideBySide) {
  const UpdateId id = StoredUpdate();
  base::Executor elsewhere(1, "elsewhere");
  facts_.answers_on = &elsewhere;
  int begun = 0;
  std::promise<void> all_begun;
  // Holds back every answer until all have been asked for.
  facts_.on_find = [&] {
    if (++begun == 10) {
      all_begun.set_value();
    }
  };
  facts_.answers_after = all_begun.get_future().share();
  v1::BatchPublishUpdatesRequest batch;
  for (int i = 0; i < 10; ++i) {
    *batch.add_requests() = Request("re");
    batch.mutable_requests(i)->mutable_update()->set_reply_to(id.value());
  }
  ASSERT_TRUE(Await(writes_.BatchPublish(batch, kDeadline)).ok());
  EXPECT_EQ(appender_.published.size(), 10u);
}

TEST_F(FeedWritesTest, UnknownOutcomesPassThrough) {
  appender_.failures[0] =
      base::WithReason(base::Error(absl::StatusCode::kUnavailable, "no answer"), "OUTCOME_UNKNOWN");
  const absl::Status status = Publish(Request("x")).status();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_EQ(base::ReasonOf(status), "OUTCOME_UNKNOWN");
}

TEST_F(FeedWritesTest, TheWayIntoTheLogNarrowsBeforePostsAreRefused) {
  EXPECT_EQ(admission_.OpenShare(), 1);
  pressure_.unflushed_age = milliseconds(1'500);
  EXPECT_EQ(admission_.OpenShare(), 1);
  pressure_.unflushed_age = milliseconds(2'100);
  EXPECT_NEAR(admission_.OpenShare(), 0.5, 1e-9);
  pressure_.unflushed_age = milliseconds(2'700);
  EXPECT_NEAR(admission_.OpenShare(), 0, 1e-9);
  pressure_.unflushed_age = milliseconds(9'000);
  EXPECT_EQ(admission_.OpenShare(), 0);
}

TEST_F(FeedWritesTest, RefusesPostsThatWouldWaitForTooLongButNeverRemovals) {
  const UpdateId id = StoredUpdate();
  appender_.expected_wait = milliseconds(500);
  EXPECT_TRUE(Publish(Request("x")).ok());
  appender_.expected_wait = milliseconds(540);
  const absl::Status status = Publish(Request("x")).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_EQ(base::ReasonOf(status), "OVERLOADED");
  EXPECT_EQ(base::RetryAfterOf(status), milliseconds(40));
  EXPECT_TRUE(Delete(id, "ann").ok());
}

TEST_F(FeedWritesTest, RefusesPostsWhenBehindButNeverRemovals) {
  const UpdateId id = StoredUpdate();
  appender_.oldest_age = milliseconds(550);
  absl::Status status = Publish(Request("x")).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_EQ(base::RetryAfterOf(status), milliseconds(50));
  appender_.oldest_age = std::chrono::seconds(9);
  EXPECT_EQ(base::RetryAfterOf(Publish(Request("x")).status()), milliseconds(200));
  EXPECT_TRUE(Delete(id, "ann").ok());
  appender_.oldest_age = milliseconds(0);
  pressure_.unflushed_age = milliseconds(3'001);
  EXPECT_EQ(base::RetryAfterOf(Publish(Request("x")).status()), milliseconds(10));
  pressure_.unflushed_age = milliseconds(3'000);
  EXPECT_TRUE(Publish(Request("x")).ok());
  pressure_.tight = true;
  EXPECT_TRUE(absl::IsResourceExhausted(Publish(Request("x")).status()));
}

TEST_F(FeedWritesTest, AnActorWhoPostsTooOftenIsRefusedAndOthersAreNot) {
  CallerRates rates({.per_second = 1, .burst = 100}, clock_);
  FeedWrites::Dependencies dependencies{layout_, appender_, bodies_,    facts_,    facts_,
                                        rights_, barrier_,  admission_, executor_, clock_};
  dependencies.rates = &rates;
  FeedWrites writes(dependencies);
  v1::BatchPublishUpdatesRequest batch;
  for (int i = 0; i < 100; ++i) {
    *batch.add_requests() = Request("hi");
    batch.mutable_requests(i)->set_request_id("key" + std::to_string(i));
  }
  ASSERT_TRUE(Await(writes.BatchPublish(batch, kDeadline)).ok());
  EXPECT_TRUE(
      absl::IsResourceExhausted(Await(writes.Publish(Request("one more"), kDeadline)).status()));
  v1::PublishUpdateRequest by_another = Request("first");
  by_another.set_actor("bob");
  EXPECT_TRUE(Await(writes.Publish(by_another, kDeadline)).ok());
  // What can't be taken anyhow costs nothing.
  EXPECT_TRUE(absl::IsInvalidArgument(Await(writes.Publish(Request(""), kDeadline)).status()));
}

TEST_F(FeedWritesTest, BatchAnswersInOrderWithErrorsInPlace) {
  v1::BatchPublishUpdatesRequest batch;
  std::set<uint32_t> shards;
  for (int i = 0; i < 30; ++i) {
    v1::PublishUpdateRequest item = Request("text " + std::to_string(i));
    item.set_request_id(std::to_string(i));
    item.mutable_update()->set_groups(0, "group " + std::to_string(i % 5));
    shards.insert(layout_.ShardOf(GroupId(item.update().groups(0))).value());
    *batch.add_requests() = item;
  }
  batch.mutable_requests(7)->mutable_update()->clear_text();
  batch.mutable_requests(8)->set_namespace_("other");
  batch.mutable_requests(9)->set_namespace_("default");
  const auto response = Await(writes_.BatchPublish(batch, kDeadline));
  ASSERT_TRUE(response.ok()) << response.status();
  ASSERT_EQ(response->results_size(), 30);
  EXPECT_EQ(appender_.publish_calls, shards.size());
  for (int i = 0; i < 30; ++i) {
    const v1::BatchPublishResult& result = response->results(i);
    if (i == 7 || i == 8) {
      EXPECT_EQ(result.error().code(), static_cast<int>(absl::StatusCode::kInvalidArgument)) << i;
      continue;
    }
    ASSERT_TRUE(result.has_published()) << i;
    const GroupId group(batch.requests(i).update().groups(0));
    EXPECT_EQ(result.published().tokens(0).shard(), layout_.ShardOf(group).value());
    const auto kept = bodies_.Find(UpdateId(result.published().update_id()));
    ASSERT_NE(kept, nullptr);
    const auto update = UpdateMessage(UpdateId(result.published().update_id()), *kept);
    EXPECT_EQ(update->text(), "text " + std::to_string(i));
  }
}

TEST_F(FeedWritesTest, BatchRefusesNoneAndTooMany) {
  v1::BatchPublishUpdatesRequest batch;
  EXPECT_EQ(FieldOf(Await(writes_.BatchPublish(batch, kDeadline)).status()), "requests");
  for (int i = 0; i < 101; ++i) {
    *batch.add_requests() = Request("x");
  }
  EXPECT_EQ(FieldOf(Await(writes_.BatchPublish(batch, kDeadline)).status()), "requests");
}

TEST_F(FeedWritesTest, EditChangesWhatTheMaskNamesAndWaits) {
  const UpdateId id = StoredUpdate();
  const auto response = Edit(EditRequest(id, "ann"));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->update().text(), "new");
  EXPECT_EQ(response->update().place().label(), "here");
  EXPECT_EQ(response->update().revision(), 4u);
  EXPECT_EQ(response->update().audience(), v1::AUDIENCE_MEMBERS_NOW);
  EXPECT_EQ(response->update().id(), id.value());
  EXPECT_EQ(response->update().create_time().seconds(), id.unix_ms() / 1'000);
  ASSERT_EQ(appender_.edits.size(), 1u);
  EXPECT_EQ(appender_.edits[0].expected_revision, 3u);
  EXPECT_EQ(barrier_.waited, std::vector<Position>{appender_.last});
  EXPECT_EQ(barrier_.watch_waits, 1u);
  EXPECT_EQ(barrier_.waited_before_watches, barrier_.waited.size());

  v1::EditUpdateRequest place = EditRequest(id, "ann");
  place.mutable_update_mask()->add_paths("place");
  const auto cleared = Edit(place);
  ASSERT_TRUE(cleared.ok());
  EXPECT_FALSE(cleared->update().has_place());
  EXPECT_EQ(cleared->update().text(), "old");
}

TEST_F(FeedWritesTest, EditRefusesBadMasksAndValues) {
  const UpdateId id = StoredUpdate();
  v1::EditUpdateRequest request = EditRequest(id, "ann");
  request.mutable_update_mask()->add_paths("author");
  EXPECT_EQ(FieldOf(Edit(request).status()), "update_mask");
  request.mutable_update_mask()->set_paths(0, "text");
  request.mutable_update()->clear_text();
  EXPECT_EQ(FieldOf(Edit(request).status()), "update.text");
  request.mutable_update_mask()->set_paths(0, "audience");
  EXPECT_EQ(FieldOf(Edit(request).status()), "update.audience");
  v1::EditUpdateRequest nothing;
  nothing.set_actor("ann");
  nothing.set_update_id(id.value());
  EXPECT_EQ(FieldOf(Edit(nothing).status()), "update_mask");
  EXPECT_TRUE(appender_.edits.empty());
}

TEST_F(FeedWritesTest, EditIsForAuthorsAndHiddenFromWhoCannotSee) {
  const UpdateId id = StoredUpdate();
  EXPECT_TRUE(absl::IsPermissionDenied(Edit(EditRequest(id, "bob")).status()));
  EXPECT_TRUE(absl::IsNotFound(Edit(EditRequest(id, "eve")).status()));
  EXPECT_TRUE(absl::IsNotFound(Edit(EditRequest(UpdateId(12345), "ann")).status()));
  EXPECT_TRUE(appender_.edits.empty());
  // Whether the author may still post is the log's to say, also to one who can't see it any more.
  facts_.roles.erase({"hiking", "ann"});
  appender_.failures[0] = base::FieldError(absl::StatusCode::kPermissionDenied, "actor", "left");
  EXPECT_TRUE(absl::IsPermissionDenied(Edit(EditRequest(id, "ann")).status()));
  EXPECT_EQ(appender_.edits.size(), 1u);
}

TEST_F(FeedWritesTest, EditTriesAgainWhenAnotherCameFirst) {
  const UpdateId id = StoredUpdate();
  const absl::Status aborted = base::Error(absl::StatusCode::kAborted, "another edit came first");
  for (size_t i = 0; i < 3; ++i) {
    appender_.failures[i] = aborted;
  }
  EXPECT_TRUE(Edit(EditRequest(id, "ann")).ok());
  EXPECT_EQ(appender_.edits.size(), 4u);
  for (size_t i = 4; i < 8; ++i) {
    appender_.failures[i] = aborted;
  }
  EXPECT_TRUE(absl::IsAborted(Edit(EditRequest(id, "ann")).status()));
  EXPECT_EQ(appender_.edits.size(), 8u);
}

TEST_F(FeedWritesTest, RemovalsSayWhenTheyAreCommittedButNotInForce) {
  const UpdateId id = StoredUpdate();
  barrier_.outcome = base::Error(absl::StatusCode::kDeadlineExceeded, "not applied in time");
  for (const absl::Status& status :
       {Edit(EditRequest(id, "ann")).status(), Delete(id, "ann").status()}) {
    EXPECT_TRUE(absl::IsUnavailable(status));
    EXPECT_EQ(base::ReasonOf(status), "NOT_YET_IN_FORCE");
  }
}

TEST_F(FeedWritesTest, DeleteWaitsUntilItIsInForce) {
  const UpdateId id = StoredUpdate();
  const auto response = Delete(id, "bob");
  ASSERT_TRUE(response.ok()) << response.status();
  ASSERT_EQ(appender_.deletes.size(), 1u);
  EXPECT_EQ(appender_.deletes[0].author, PersonId("ann"));
  EXPECT_EQ(appender_.deletes[0].group, GroupId("hiking"));
  EXPECT_EQ(barrier_.waited, std::vector<Position>{appender_.last});
  EXPECT_EQ(barrier_.watch_waits, 1u);
  EXPECT_EQ(barrier_.waited_before_watches, barrier_.waited.size());
  EXPECT_EQ(response->tokens(0).position(), appender_.last.value());
}

TEST_F(FeedWritesTest, DeleteIsForAuthorsWhoLeftButNotForWhoCannotSee) {
  const UpdateId id = StoredUpdate();
  const absl::Status refusal =
      base::FieldError(absl::StatusCode::kPermissionDenied, "actor", "has no role that allows it");
  appender_.failures[0] = refusal;
  EXPECT_TRUE(absl::IsNotFound(Delete(id, "eve").status()));
  appender_.failures[1] = refusal;
  EXPECT_EQ(Delete(id, "bob").status(), refusal);
  facts_.roles.erase({"hiking", "ann"});
  EXPECT_TRUE(Delete(id, "ann").ok());
}

TEST_F(FeedWritesTest, DeleteByAModeratorDoesNotAskWhetherTheySeeIt) {
  const UpdateId id = StoredUpdate();
  EXPECT_TRUE(Delete(id, "a moderator who joined later").ok());
}

TEST_F(FeedWritesTest, EditsAndDeletionsAreNotBegunAfterTheDeadline) {
  const UpdateId id = StoredUpdate();
  v1::DeleteUpdateRequest removal;
  removal.set_actor("ann");
  removal.set_update_id(id.value());
  for (const absl::Status& status :
       {Await(writes_.Edit(EditRequest(id, "ann"), clock_.monotonic)).status(),
        Await(writes_.Delete(removal, clock_.monotonic)).status()}) {
    EXPECT_TRUE(absl::IsDeadlineExceeded(status));
    EXPECT_EQ(base::ReasonOf(status), "NOT_SENT");
  }
  EXPECT_TRUE(appender_.edits.empty());
  EXPECT_TRUE(appender_.deletes.empty());
}

TEST_F(FeedWritesTest, DeleteOfWhatIsGoneWaitsForTheLogBeforeItSaysSo) {
  const UpdateId gone(400, ShardIndex(5), 0);
  EXPECT_TRUE(absl::IsNotFound(Delete(gone, "ann").status()));
  EXPECT_EQ(barrier_.waited, std::vector<Position>{Position(900, ShardIndex(5), 0)});
  EXPECT_EQ(barrier_.watch_waits, 1u);
  EXPECT_EQ(barrier_.waited_before_watches, barrier_.waited.size());
  barrier_.outcome = base::Error(absl::StatusCode::kDeadlineExceeded, "not applied in time");
  EXPECT_EQ(base::ReasonOf(Delete(gone, "ann").status()), "NOT_YET_IN_FORCE");
  EXPECT_EQ(barrier_.watch_waits, 1u) << "watches can't be waited for before it is applied";
  EXPECT_EQ(appender_.last, Position()) << "it appended something";
}

TEST_F(FeedWritesTest, IdsOfNoShardAreNotFoundWithoutAsking) {
  EXPECT_TRUE(absl::IsNotFound(Delete(UpdateId(1, ShardIndex(900), 0), "ann").status()));
  EXPECT_EQ(FieldOf(Delete(UpdateId(), "ann").status()), "update_id");
  EXPECT_TRUE(barrier_.waited.empty());
}

}  // namespace
}  // namespace klatch
