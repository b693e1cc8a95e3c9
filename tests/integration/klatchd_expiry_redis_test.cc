// Updates that go by themselves: at their time they are gone from every path at once, whatever else
// happens to them, and pages say so.

#include <chrono>
#include <map>

#include "common/base/clock.h"
#include "services/model/keys.h"
#include "tests/integration/klatchd_watch_client.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

Layout SmallLayout() {
  Layout layout;
  layout.shard_count = 4;
  layout.partition_count = 4;
  return layout;
}

// How far ahead updates expire that are to be seen before, and that are only to be posted before, on a
// machine with much else to do.
constexpr milliseconds kSeenBefore{4'000};
constexpr milliseconds kSoon{1'500};

// Ann and bob are in "hiking" and "chess".
class KlatchdExpiryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* group : {"hiking", "chess"}) {
      ASSERT_THAT(client_->CreateGroup("ann", group), Succeeds());
      ASSERT_THAT(client_->AddApplied("ann", group, {"bob"}), Succeeds());
    }
  }

  static v1::PublishUpdateRequest Expiring(const std::string& text, milliseconds ahead,
                                           const std::vector<std::string>& groups = {"hiking"}) {
    auto request = Client::Post("ann", groups.front(), text);
    for (size_t i = 1; i < groups.size(); ++i) {
      request.mutable_update()->add_groups(groups[i]);
    }
    const int64_t at = base::UnixMs(std::chrono::system_clock::now() + ahead);
    request.mutable_update()->mutable_expire_time()->set_seconds(at / 1'000);
    request.mutable_update()->mutable_expire_time()->set_nanos(
        static_cast<int32_t>(at % 1'000 * 1'000'000));
    return request;
  }

  // What bob sees on every kind of page.
  std::map<std::string, std::vector<std::string>> PagesOfBob(const Tokens& tokens) {
    return {{"home", TextsOf(*client_->Home("bob", tokens))},
            {"hiking", TextsOf(*client_->GroupPage("bob", "hiking", tokens))},
            {"chess", TextsOf(*client_->GroupPage("bob", "chess", tokens))},
            {"profile", TextsOf(*client_->Profile("bob", "ann", tokens))}};
  }
  uint32_t UnreadOfBob() {
    v1::GetUnreadCountsRequest request;
    request.set_actor("bob");
    request.set_home(true);
    const auto answer = client_->Persons(&v1::PersonService::Stub::GetUnreadCounts, request);
    return answer->counts(0).count();
  }
  bool AwaitGone(uint64_t update) {
    return Eventually(
        [&] { return client_->Get("bob", update).status.error_code() == StatusCode::NOT_FOUND; });
  }
  bool IsStored(uint64_t update) {
    const std::string key = Keys(SmallLayout()).Update(UpdateId(update));
    return klatchd_.ConnectRedis()->Call({"STRLEN", key})->integer() > 0;
  }

  Klatchd klatchd_{{.arguments = {"--shards", "4", "--partitions", "4", "--workers", "2",
                                  "--flush-interval", "50ms", "--expire-min", "100ms"}}};
  std::unique_ptr<Client> client_ = std::make_unique<Client>(klatchd_.Channel());
};

TEST_F(KlatchdExpiryTest, WhatHasExpiredIsGoneFromEveryPathAtOnce) {
  ASSERT_THAT(client_->Publish("ann", "hiking", "stays"), Succeeds());
  const auto request = Expiring("goes", kSeenBefore, {"hiking"});
  const auto posted = client_->Publish(request);
  ASSERT_THAT(posted, Succeeds());
  EXPECT_THAT(TextsOf(*client_->Home("bob", posted->tokens())), ElementsAre("goes", "stays"));
  EXPECT_THAT(TextsOf(*client_->GroupPage("bob", "hiking", posted->tokens())),
              ElementsAre("goes", "stays"));
  EXPECT_EQ(UnreadOfBob(), 2u);
  const auto shown = client_->Get("bob", posted->update_id());
  ASSERT_THAT(shown, Succeeds());
  EXPECT_EQ(shown->update().expire_time().seconds(), request.update().expire_time().seconds());
  EXPECT_EQ(shown->update().expire_time().nanos(), request.update().expire_time().nanos());

  ASSERT_TRUE(AwaitGone(posted->update_id()));
  const auto pages = PagesOfBob(posted->tokens());
  EXPECT_THAT(pages.at("home"), ElementsAre("stays"));
  EXPECT_THAT(pages.at("hiking"), ElementsAre("stays"));
  EXPECT_THAT(pages.at("profile"), ElementsAre("stays"));
  EXPECT_EQ(UnreadOfBob(), 1u);
  EXPECT_THAT(client_->Get("ann", posted->update_id()), Refuses(StatusCode::NOT_FOUND, "update_id"))
      << "its author sees it no longer, either";
  EXPECT_TRUE(client_->Home("bob")->completeness().expired());
  EXPECT_TRUE(client_->GroupPage("bob", "hiking")->completeness().expired());
  EXPECT_TRUE(Eventually([&] { return !IsStored(posted->update_id()); }));
  EXPECT_TRUE(client_->Home("bob")->completeness().expired());
}

TEST_F(KlatchdExpiryTest, PostToSeveralGroupsGoesFromAllOfThem) {
  const auto posted = client_->Publish(Expiring("goes", kSeenBefore, {"hiking", "chess"}));
  ASSERT_THAT(posted, Succeeds());
  for (const auto& [page, texts] : PagesOfBob(posted->tokens())) {
    EXPECT_THAT(texts, ElementsAre("goes")) << page;
  }
  ASSERT_TRUE(AwaitGone(posted->update_id()));
  for (const auto& [page, texts] : PagesOfBob(posted->tokens())) {
    EXPECT_THAT(texts, IsEmpty()) << page;
  }
  EXPECT_TRUE(client_->GroupPage("bob", "chess")->completeness().expired());
  EXPECT_TRUE(Eventually([&] { return !IsStored(posted->update_id()); }));
}

TEST_F(KlatchdExpiryTest, AnEditNeitherKeepsNorProlongsIt) {
  const auto request = Expiring("goes", kSeenBefore);
  const auto posted = client_->Publish(request);
  ASSERT_THAT(posted, Succeeds());
  const auto edited = client_->Edit("ann", posted->update_id(), "goes all the same");
  ASSERT_THAT(edited, Succeeds());
  EXPECT_EQ(edited->update().expire_time().seconds(), request.update().expire_time().seconds());
  const std::string key = Keys(SmallLayout()).Update(UpdateId(posted->update_id()));
  const int64_t left_ms = klatchd_.ConnectRedis()->Call({"PTTL", key})->integer();
  EXPECT_LE(left_ms, kSeenBefore.count());

  ASSERT_TRUE(AwaitGone(posted->update_id()));
  EXPECT_THAT(client_->Edit("ann", posted->update_id(), "back"),
              Refuses(StatusCode::NOT_FOUND, "update_id"));
  EXPECT_THAT(client_->Delete("ann", posted->update_id()),
              Refuses(StatusCode::NOT_FOUND, "update_id"));
  auto reply = Client::Post("bob", "hiking", "too late");
  reply.mutable_update()->set_reply_to(posted->update_id());
  EXPECT_THAT(client_->Publish(reply), Refuses(StatusCode::NOT_FOUND, "update.reply_to"));
  auto reshare = Client::Post("bob", "hiking", "too late");
  reshare.mutable_update()->set_reshare_of(posted->update_id());
  EXPECT_THAT(client_->Publish(reshare), Refuses(StatusCode::NOT_FOUND, "update.reshare_of"));
}

TEST_F(KlatchdExpiryTest, RepetitionIsAnsweredWithTheIdThoughItsTimeHasCome) {
  for (const std::vector<std::string>& groups :
       {std::vector<std::string>{"hiking"}, {"hiking", "chess"}}) {
    const auto request = Expiring("goes", kSoon, groups);
    const auto posted = client_->Publish(request);
    ASSERT_THAT(posted, Succeeds());
    ASSERT_TRUE(AwaitGone(posted->update_id()));
    const auto again = client_->Publish(request);
    ASSERT_THAT(again, Succeeds());
    EXPECT_EQ(again->update_id(), posted->update_id());
    auto later = request;
    later.mutable_update()->mutable_expire_time()->set_seconds(
        request.update().expire_time().seconds() + 60);
    EXPECT_THAT(client_->Publish(later), Refuses(StatusCode::ALREADY_EXISTS, "request_id"));
    auto fresh = request;
    fresh.set_request_id(Client::NewRequestId());
    EXPECT_THAT(client_->Publish(fresh),
                Refuses(StatusCode::INVALID_ARGUMENT, "update.expire_time"));
  }
  EXPECT_THAT(TextsOf(*client_->Home("bob")), IsEmpty());
}

TEST_F(KlatchdExpiryTest, WhatIsDeletedIsNotCalledExpiredAlsoAfterAKill) {
  const auto deleted = client_->Publish("ann", "hiking", "deleted");
  const auto kept = client_->Publish("ann", "hiking", "kept");
  ASSERT_THAT(client_->Delete("ann", deleted->update_id()), Succeeds());
  const auto page = client_->Home("bob", kept->tokens());
  EXPECT_THAT(TextsOf(*page), ElementsAre("kept"));
  EXPECT_FALSE(page->completeness().expired());
  const auto posted = client_->Publish(Expiring("goes", kSoon, {"chess"}));
  ASSERT_THAT(posted, Succeeds());

  klatchd_.Kill();
  // So that the node which starts knows nothing of whom it was for but its author.
  ASSERT_TRUE(Eventually([&] { return !IsStored(posted->update_id()); }));
  klatchd_.Start();
  client_ = std::make_unique<Client>(klatchd_.Channel());
  EXPECT_THAT(client_->Get("bob", posted->update_id()),
              Refuses(StatusCode::NOT_FOUND, "update_id"));
  EXPECT_THAT(TextsOf(*client_->Home("bob", kept->tokens())), ElementsAre("kept"));
  EXPECT_FALSE(client_->GroupPage("bob", "hiking")->completeness().expired());
  EXPECT_TRUE(client_->GroupPage("bob", "chess")->completeness().expired());
  EXPECT_TRUE(client_->Home("bob", posted->tokens())->completeness().expired());
  EXPECT_FALSE(client_->Profile("bob", "ann")->completeness().expired())
      << "told of what may never have been for them";
  EXPECT_TRUE(client_->Profile("ann", "ann")->completeness().expired());
}

TEST_F(KlatchdExpiryTest, WatchThatIsTakenUpAgainDoesNotBringItBack) {
  const auto mark = client_->Publish("ann", "hiking", "mark");
  const std::string token = client_->Home("bob", mark->tokens())->watch_token();
  const auto posted = client_->Publish(Expiring("goes", kSoon));
  ASSERT_THAT(posted, Succeeds());
  ASSERT_TRUE(AwaitGone(posted->update_id()));
  Watcher watcher(klatchd_.Channel(), "bob", token);
  ASSERT_TRUE(watcher.AwaitBegun());
  ASSERT_THAT(client_->Publish("ann", "hiking", "after"), Succeeds());
  EXPECT_TRUE(watcher.AwaitWords({"+after"})) << "nothing is said of what is gone";
}

}  // namespace
}  // namespace klatch::testing
