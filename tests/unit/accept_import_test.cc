#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <string>

#include "accept_fakes.h"
#include "services/accept/feed_writes.h"
#include "services/accept/update_message.h"

namespace klatch {
namespace {

using testing::Await;

constexpr base::MonotonicTime kDeadline = base::MonotonicTime::max();

class FeedImportsTest : public ::testing::Test {
 protected:
  FeedImportsTest()
      : appender_(layout_),
        bodies_(1 << 20),
        admission_(appender_, pressure_, Admission::Bounds{}),
        executor_(1, "test"),
        writes_({layout_, appender_, bodies_, facts_, facts_, rights_, barrier_, admission_,
                 executor_, clock_}) {}

  int64_t Now() const {
    return std::chrono::duration_cast<std::chrono::seconds>(clock_.wall.time_since_epoch()).count();
  }

  static v1::ImportedUpdate Update(const std::string& source_id, const std::string& text) {
    v1::ImportedUpdate update;
    update.set_source_id(source_id);
    update.set_author("ann");
    update.mutable_update()->set_text(text);
    update.mutable_update()->add_groups("hiking");
    update.mutable_original_time()->set_seconds(1'000);
    return update;
  }

  absl::StatusOr<v1::ImportUpdatesResponse> Import(const std::vector<v1::ImportedUpdate>& updates) {
    v1::ImportUpdatesRequest request;
    for (const v1::ImportedUpdate& update : updates) {
      *request.add_updates() = update;
    }
    return Await(writes_.Import(std::move(request), kDeadline));
  }
  // The outcome of one that is good after `change`.
  template <typename Change>
  v1::ImportResult ImportWith(Change change) {
    v1::ImportedUpdate update = Update("s", "long ago");
    change(update);
    const auto response = Import({update});
    EXPECT_TRUE(response.ok()) << response.status();
    return response.ok() ? response->results(0) : v1::ImportResult();
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

TEST_F(FeedImportsTest, StoresTheOriginalTimeAndOnlyWhatIsTheAuthors) {
  v1::ImportedUpdate update = Update("s1", "long ago");
  update.mutable_update()->set_author("somebody else");
  update.mutable_update()->mutable_original_time()->set_seconds(7);
  const auto response = Import({update});
  ASSERT_TRUE(response.ok()) << response.status();
  const v1::ImportOutcome& imported = response->results(0).imported();
  EXPECT_EQ(imported.update_id(), appender_.last.value());
  EXPECT_EQ(imported.tokens(0).position(), imported.update_id());
  EXPECT_TRUE(appender_.published.empty());
  ASSERT_EQ(appender_.imported.size(), 1u);
  EXPECT_EQ(appender_.imported[0].actor, PersonId("ann"));
  EXPECT_EQ(appender_.imported[0].request_id, "s1");
  const auto body = Body::Decode(appender_.imported[0].body);
  ASSERT_TRUE(body);
  EXPECT_TRUE(IsImported(*body));
  const auto shown = UpdateMessage(appender_.last, *body);
  ASSERT_TRUE(shown.ok());
  EXPECT_EQ(shown->author(), "ann");
  EXPECT_EQ(shown->original_time().seconds(), 1'000);
  EXPECT_NE(bodies_.Find(UpdateId(imported.update_id())), nullptr);
}

TEST_F(FeedImportsTest, PostHasNoOriginalTimeWhateverItsClientSays) {
  v1::PublishUpdateRequest request;
  request.set_actor("ann");
  request.set_request_id("key");
  *request.mutable_update() = Update("s", "now").update();
  ASSERT_TRUE(Await(writes_.Publish(request, kDeadline)).ok());
  request.mutable_update()->mutable_original_time()->set_seconds(1);
  ASSERT_TRUE(Await(writes_.Publish(request, kDeadline)).ok());
  request.mutable_update()->add_groups("other");
  ASSERT_TRUE(Await(writes_.Publish(request, kDeadline)).ok());
  ASSERT_EQ(appender_.published.size(), 2u);
  EXPECT_EQ(appender_.published[0].body, appender_.published[1].body);
  EXPECT_EQ(appender_.published[0].payload_digest, appender_.published[1].payload_digest);
  EXPECT_FALSE(IsImported(*Body::Decode(appender_.published[1].body)));
  EXPECT_FALSE(IsImported(*Body::Decode(appender_.posted_to_several.at(0).body)));
}

TEST_F(FeedImportsTest, TheTimeIsAPartOfThePayload) {
  v1::ImportedUpdate other = Update("s1", "long ago");
  other.mutable_original_time()->set_nanos(1);
  ASSERT_TRUE(Import({Update("s1", "long ago"), Update("s1", "long ago"), other}).ok());
  ASSERT_EQ(appender_.imported.size(), 3u);
  EXPECT_EQ(appender_.imported[0].payload_digest, appender_.imported[1].payload_digest);
  EXPECT_NE(appender_.imported[0].payload_digest, appender_.imported[2].payload_digest);
}

TEST_F(FeedImportsTest, EditKeepsTheOriginalTime) {
  v1::Update content = Update("s", "long ago").update();
  content.mutable_original_time()->set_seconds(1'000);
  const UpdateId id(500, layout_.ShardOf(GroupId("hiking")), 1);
  BodyHeader header{AudienceRule::kMembersNow, 3, PersonId("ann"), GroupId("hiking")};
  facts_.bodies[id] = std::make_shared<const Body>(
      *Body::Decode(EncodeBody(header, UpdateBytes(content, header.author))));
  v1::EditUpdateRequest request;
  request.set_actor("ann");
  request.set_update_id(id.value());
  request.mutable_update()->set_text("long ago, corrected");
  request.mutable_update()->mutable_original_time()->set_seconds(7);
  const auto edited = Await(writes_.Edit(request, kDeadline));
  ASSERT_TRUE(edited.ok()) << edited.status();
  EXPECT_EQ(edited->update().original_time().seconds(), 1'000);
  EXPECT_TRUE(IsImported(*Body::Decode(appender_.edits.at(0).body)));
}

TEST_F(FeedImportsTest, BadItemNamesItsFieldAndTheOthersGoOn) {
  const auto field_of = [](const v1::ImportResult& result) {
    EXPECT_EQ(result.error().code(), static_cast<int>(absl::StatusCode::kInvalidArgument))
        << result.ShortDebugString();
    return result.error().message().substr(0, result.error().message().find(' '));
  };
  using Item = v1::ImportedUpdate;
  EXPECT_EQ(field_of(ImportWith([](Item& i) { i.clear_source_id(); })), "source_id");
  EXPECT_EQ(field_of(ImportWith([](Item& i) { i.set_source_id(std::string(257, 'x')); })),
            "source_id");
  EXPECT_EQ(field_of(ImportWith([](Item& i) { i.clear_author(); })), "author");
  EXPECT_EQ(field_of(ImportWith([](Item& i) { i.clear_update(); })), "update.groups");
  EXPECT_EQ(field_of(ImportWith([](Item& i) { i.mutable_update()->add_groups("b"); })),
            "update.groups");
  EXPECT_EQ(field_of(ImportWith([](Item& i) { i.mutable_update()->clear_text(); })), "update.text");
  EXPECT_EQ(field_of(ImportWith([](Item& i) { i.clear_original_time(); })), "original_time");
  EXPECT_EQ(field_of(ImportWith([](Item& i) { i.mutable_original_time()->set_seconds(-1); })),
            "original_time");
  EXPECT_EQ(field_of(ImportWith([](Item& i) { i.mutable_original_time()->set_nanos(-1); })),
            "original_time");
  EXPECT_EQ(field_of(ImportWith([](Item& i) {
              i.mutable_original_time()->set_seconds(std::numeric_limits<int64_t>::max());
            })),
            "original_time");
  EXPECT_EQ(
      field_of(ImportWith([this](Item& i) { i.mutable_original_time()->set_seconds(Now() + 61); })),
      "original_time");
  EXPECT_TRUE(appender_.imported.empty());
  EXPECT_TRUE(ImportWith([this](Item& i) {
                i.mutable_original_time()->set_seconds(Now() + 59);
              }).has_imported());
  EXPECT_TRUE(
      ImportWith([](Item& i) { i.mutable_original_time()->set_seconds(0); }).has_imported());
  v1::ImportedUpdate bad = Update("", "bad");
  const auto mixed = Import({Update("s1", "good"), bad, Update("s2", "good too")});
  ASSERT_TRUE(mixed.ok());
  EXPECT_TRUE(mixed->results(0).has_imported());
  EXPECT_TRUE(mixed->results(1).has_error());
  EXPECT_TRUE(mixed->results(2).has_imported());
}

TEST_F(FeedImportsTest, OneTo100AtATime) {
  EXPECT_EQ(base::FieldViolationOf(Import({}).status())->field, "updates");
  const std::vector<v1::ImportedUpdate> many(101, Update("s", "x"));
  EXPECT_EQ(base::FieldViolationOf(Import(many).status())->field, "updates");
  EXPECT_TRUE(appender_.imported.empty());
  EXPECT_TRUE(Import(std::vector<v1::ImportedUpdate>(100, Update("s", "x"))).ok());
}

TEST_F(FeedImportsTest, WhatTheAuthorCantSeeIsTheScriptsToRefuse) {
  v1::ImportedUpdate update = Update("s1", "an answer");
  update.mutable_update()->set_reply_to(77);
  ASSERT_TRUE(Import({update}).ok());
  EXPECT_EQ(appender_.imported.at(0).bad_reference, BadReference::kReplyTo);
}

TEST_F(FeedImportsTest, IsHeldBackAsPostsAre) {
  pressure_.tight = true;
  const auto response = Import({Update("s1", "x")});
  EXPECT_EQ(response.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(base::RetryAfterOf(response.status()).has_value());
}

TEST_F(FeedImportsTest, RepetitionSaysThatItWasThere) {
  appender_.replayed = true;
  const auto response = Import({Update("s1", "x")});
  ASSERT_TRUE(response.ok());
  EXPECT_TRUE(response->results(0).imported().was_there());
  EXPECT_EQ(bodies_.Find(UpdateId(response->results(0).imported().update_id())), nullptr);
}

}  // namespace
}  // namespace klatch
