// Groups that keep only so much of their past, over gRPC against a real klatchd: what is gone is gone on
// every path, stays gone, and pages say so.

#include <chrono>

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

v1::Retention NewestUpdates(uint32_t count) {
  v1::Retention retention;
  retention.set_count(count);
  return retention;
}

// Ann and bob are in "hiking", whose whole past is open to joiners, and in "chess".
class KlatchdRetentionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* group : {"hiking", "chess"}) {
      ASSERT_THAT(client_->CreateGroup("ann", group, v1::HISTORY_ALL, v1::AUDIENCE_MEMBERS_NOW),
                  Succeeds());
      ASSERT_THAT(client_->AddApplied("ann", group, {"bob"}), Succeeds());
    }
  }

  Answer<v1::UpdateGroupResponse> Bound(const std::string& group, const v1::Retention& retention,
                                        const std::string& path = "retention") {
    v1::UpdateGroupRequest request;
    request.set_actor("ann");
    request.mutable_group()->set_id(group);
    *request.mutable_group()->mutable_retention() = retention;
    request.mutable_update_mask()->add_paths(path);
    return client_->Groups(&v1::GroupService::Stub::UpdateGroup, request);
  }

  // Posts of ann's, named by their numbers; their ids.
  std::vector<uint64_t> Fill(const std::string& group, int count) {
    std::vector<uint64_t> ids;
    for (int i = 0; i < count; ++i) {
      const auto posted = client_->Publish("ann", group, std::to_string(posts_++));
      EXPECT_THAT(posted, Succeeds());
      ids.push_back(posted->update_id());
      tokens_ = posted->tokens();
    }
    return ids;
  }

  std::vector<std::string> Home(const std::string& person) {
    return TextsOf(*client_->Home(person, tokens_));
  }
  std::vector<std::string> Group(const std::string& person, const std::string& group) {
    return TextsOf(*client_->GroupPage(person, group, tokens_));
  }
  uint32_t UnreadOfBob() {
    v1::GetUnreadCountsRequest request;
    request.set_actor("bob");
    request.set_home(true);
    return client_->Persons(&v1::PersonService::Stub::GetUnreadCounts, request)->counts(0).count();
  }
  bool AwaitGone(uint64_t update) {
    return Eventually(
        [&] { return client_->Get("ann", update).status.error_code() == StatusCode::NOT_FOUND; });
  }
  std::string KeyOf(uint64_t update) { return Keys(SmallLayout()).Update(UpdateId(update)); }

  void Restart() {
    klatchd_.Kill();
    klatchd_.Start();
    client_ = std::make_unique<Client>(klatchd_.Channel());
  }

  Klatchd klatchd_{{.arguments = {"--shards", "4", "--partitions", "4", "--workers", "2",
                                  "--flush-interval", "50ms", "--expire-min", "100ms"}}};
  std::unique_ptr<Client> client_ = std::make_unique<Client>(klatchd_.Channel());
  Tokens tokens_;
  int posts_ = 0;
};

TEST_F(KlatchdRetentionTest, BoundsAreShownAndChangedOneByOne) {
  v1::Retention retention = NewestUpdates(7);
  retention.mutable_age()->set_seconds(3'600);
  retention.set_bytes(4'096);
  const auto bounded = Bound("hiking", retention);
  ASSERT_THAT(bounded, Succeeds());
  EXPECT_EQ(bounded->group().retention().ShortDebugString(), retention.ShortDebugString());

  ASSERT_THAT(Bound("hiking", NewestUpdates(9), "retention.count"), Succeeds());
  ASSERT_THAT(Bound("hiking", {}, "retention.bytes"), Succeeds());
  v1::GetGroupRequest request;
  request.set_actor("bob");
  request.set_group("hiking");
  const auto shown = client_->Groups(&v1::GroupService::Stub::GetGroup, request);
  EXPECT_EQ(shown->group().retention().count(), 9u);
  EXPECT_EQ(shown->group().retention().age().seconds(), 3'600);
  EXPECT_EQ(shown->group().retention().bytes(), 0u);
  EXPECT_FALSE(Bound("hiking", {})->group().has_retention());
}

TEST_F(KlatchdRetentionTest, WhatIsBeyondTheCountIsGoneFromEveryPath) {
  const std::vector<uint64_t> ids = Fill("hiking", 4);
  EXPECT_FALSE(client_->Home("bob", tokens_)->completeness().expired());
  ASSERT_THAT(Bound("hiking", NewestUpdates(2)), Succeeds());
  ASSERT_TRUE(AwaitGone(ids[1]));
  EXPECT_THAT(Home("bob"), ElementsAre("3", "2"));
  EXPECT_THAT(Group("bob", "hiking"), ElementsAre("3", "2"));
  EXPECT_THAT(TextsOf(*client_->Profile("bob", "ann", tokens_)), ElementsAre("3", "2"));
  EXPECT_THAT(TextsOf(*client_->Profile("ann", "ann", tokens_)), ElementsAre("3", "2"));
  EXPECT_EQ(UnreadOfBob(), 2u);
  EXPECT_TRUE(client_->Home("bob")->completeness().expired());
  EXPECT_TRUE(client_->GroupPage("bob", "hiking")->completeness().expired());
  EXPECT_FALSE(client_->Home("bob", {}, 2)->completeness().expired())
      << "of a page that ends before";

  auto reply = Client::Post("bob", "hiking", "too late");
  reply.mutable_update()->set_reply_to(ids[0]);
  EXPECT_THAT(client_->Publish(reply), Refuses(StatusCode::NOT_FOUND, "update.reply_to"));
  EXPECT_TRUE(Eventually([&] {
    return klatchd_.ConnectRedis()->Call({"EXISTS", KeyOf(ids[0])})->integer() == 0;
  }));
  EXPECT_THAT(client_->Edit("ann", ids[0], "back"), Refuses(StatusCode::NOT_FOUND, "update_id"));

  // Who joins now finds what is kept.
  ASSERT_THAT(client_->AddApplied("ann", "hiking", {"zoe"}), Succeeds());
  EXPECT_TRUE(Eventually([&] { return Home("zoe") == std::vector<std::string>{"3", "2"}; }));
}

TEST_F(KlatchdRetentionTest, WhatIsGoneStaysGoneThoughItsBodyIsThereAndTheNodeWasKilled) {
  const std::vector<uint64_t> ids = Fill("hiking", 3);
  auto redis = klatchd_.ConnectRedis();
  const std::string body(redis->Call({"GET", KeyOf(ids[0])})->text());
  ASSERT_THAT(Bound("hiking", NewestUpdates(1)), Succeeds());
  ASSERT_TRUE(AwaitGone(ids[0]));
  ASSERT_TRUE(Eventually([&] { return redis->Call({"EXISTS", KeyOf(ids[0])})->integer() == 0; }));
  // As if its deletion had not come to pass.
  ASSERT_TRUE(redis->Call({"SET", KeyOf(ids[0]), body}).ok());
  EXPECT_THAT(Home("bob"), ElementsAre("2"));
  EXPECT_THAT(client_->Get("bob", ids[0]), Refuses(StatusCode::NOT_FOUND, "update_id"));
  Restart();
  EXPECT_THAT(client_->Get("bob", ids[0]), Refuses(StatusCode::NOT_FOUND, "update_id"));
  EXPECT_THAT(Home("bob"), ElementsAre("2"));
  EXPECT_THAT(Group("bob", "hiking"), ElementsAre("2"));

  // Neither a looser bound nor none brings it back.
  ASSERT_THAT(Bound("hiking", NewestUpdates(800)), Succeeds());
  ASSERT_THAT(Bound("hiking", {}), Succeeds());
  Fill("hiking", 2);
  EXPECT_THAT(Home("bob"), ElementsAre("4", "3", "2"));
  EXPECT_THAT(Group("bob", "hiking"), ElementsAre("4", "3", "2"));
}

TEST_F(KlatchdRetentionTest, PostToSeveralGroupsIsSeenThroughThoseThatKeepIt) {
  ASSERT_THAT(Bound("hiking", NewestUpdates(1)), Succeeds());
  auto several = Client::Post("ann", "hiking", "several");
  several.mutable_update()->add_groups("chess");
  const auto posted = client_->Publish(several);
  ASSERT_THAT(posted, Succeeds());
  Fill("hiking", 1);
  ASSERT_TRUE(Eventually([&] { return Group("bob", "hiking") == std::vector<std::string>{"0"}; }));
  EXPECT_THAT(Group("bob", "chess"), ElementsAre("several"));
  EXPECT_THAT(Home("bob"), ElementsAre("0", "several"));
  EXPECT_THAT(client_->Get("bob", posted->update_id())->update().groups(), ElementsAre("chess"));

  ASSERT_THAT(Bound("chess", NewestUpdates(1)), Succeeds());
  Fill("chess", 1);
  ASSERT_TRUE(AwaitGone(posted->update_id()));
  EXPECT_THAT(Home("bob"), ElementsAre("1", "0"));
}

TEST_F(KlatchdRetentionTest, WhatIsTooOldOrTooMuchGoes) {
  const std::vector<uint64_t> old = Fill("hiking", 2);
  v1::Retention retention;
  retention.mutable_age()->set_nanos(100'000'000);
  ASSERT_THAT(Bound("hiking", retention), Succeeds());
  ASSERT_TRUE(AwaitGone(old.back()));
  EXPECT_THAT(Group("bob", "hiking"), IsEmpty());
  EXPECT_TRUE(client_->GroupPage("bob", "hiking")->completeness().expired());

  for (const char* text : {"a", "b", "c"}) {
    ASSERT_THAT(client_->Publish("ann", "chess", text + std::string(500, '.')), Succeeds());
  }
  v1::Retention small;
  small.set_bytes(1'200);
  ASSERT_THAT(Bound("chess", small), Succeeds());
  EXPECT_TRUE(Eventually([&] { return Group("bob", "chess").size() == 2; }));
  EXPECT_THAT(Home("bob"), ElementsAre("c" + std::string(500, '.'), "b" + std::string(500, '.')));
}

TEST_F(KlatchdRetentionTest, WatchesAreNotToldOfWhatIsKeptNoLonger) {
  Watcher live(klatchd_.Channel(), "bob");
  ASSERT_TRUE(live.AwaitBegun());
  Fill("hiking", 1);
  const std::string token = client_->Home("bob", tokens_)->watch_token();
  const std::vector<uint64_t> ids = Fill("hiking", 3);
  ASSERT_THAT(Bound("hiking", NewestUpdates(1)), Succeeds());
  ASSERT_TRUE(AwaitGone(ids[1]));
  Watcher resumed(klatchd_.Channel(), "bob", token);
  EXPECT_TRUE(resumed.AwaitWords({"+3"})) << "what came between and is gone is not shown";
  Fill("chess", 1);
  EXPECT_TRUE(resumed.AwaitWords({"+3", "+4"}));
  EXPECT_TRUE(live.AwaitWords({"+0", "+1", "+2", "+3", "+4"})) << "nothing is said of what goes";
}

TEST_F(KlatchdRetentionTest, KillsInTheMiddleLeaveNoMoreThanIsKept) {
  ASSERT_THAT(Bound("hiking", NewestUpdates(1)), Succeeds());
  for (int round = 0; round < 3; ++round) {
    const std::vector<uint64_t> ids = Fill("hiking", 20);
    // The keeper is somewhere between its first and last step, for all that this test knows.
    ASSERT_TRUE(AwaitGone(ids[round * 8]));
    Restart();
    const std::vector<std::string> newest = {std::to_string(posts_ - 1)};
    EXPECT_TRUE(Eventually([&] { return Home("bob") == newest; }));
    EXPECT_TRUE(Eventually([&] { return Group("bob", "hiking") == newest; }));
    auto redis = klatchd_.ConnectRedis();
    EXPECT_TRUE(Eventually([&] {
      int64_t stored = 0;
      for (const uint64_t id : ids) {
        stored += redis->Call({"EXISTS", KeyOf(id)})->integer();
      }
      return stored == 1;
    }));
  }
}

TEST(KlatchdNamespaceRetentionTest, HoldsForGroupsWithoutABoundOfTheirOwn) {
  Klatchd klatchd({.arguments = {"--shards", "4", "--partitions", "4", "--workers", "1",
                                 "--group-updates-max", "2"}});
  Client client(klatchd.Channel());
  ASSERT_THAT(client.CreateGroup("ann", "g"), Succeeds());
  for (const char* text : {"a", "b", "c"}) {
    ASSERT_THAT(client.Publish("ann", "g", text), Succeeds());
  }
  EXPECT_TRUE(Eventually([&] {
    return TextsOf(*client.Home("ann")) == std::vector<std::string>{"c", "b"};
  }));
}

}  // namespace
}  // namespace klatch::testing
