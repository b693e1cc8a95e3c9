// What outlives a klatchd: after SIGKILL and after SIGTERM, with its Redis left running or not.

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "common/base/bytes.h"
#include "services/materialize/stored_ring.h"
#include "services/model/keys.h"
#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAreArray;

Layout SmallLayout() {
  Layout layout;
  layout.shard_count = 8;
  layout.partition_count = 8;
  return layout;
}

class KlatchdRestartTest : public ::testing::Test {
 protected:
  KlatchdRestartTest() { Connect(); }

  void Connect() { client_ = std::make_unique<Client>(klatchd_.Channel()); }
  void Restart() {
    klatchd_.Start();
    Connect();
  }

  // Every update of `person`'s home, over all pages.
  template <typename Field>
  auto AllOfHome(const std::string& person, const Tokens& tokens, Field field) {
    std::vector<decltype(field(v1::Update()))> all;
    std::string token;
    do {
      const auto page = client_->Home(person, tokens, 200, token);
      EXPECT_THAT(page, Succeeds());
      for (const v1::Update& update : page->updates()) {
        all.push_back(field(update));
      }
      token = page->next_page_token();
    } while (!token.empty());
    return all;
  }
  std::vector<uint64_t> IdsAtHome(const std::string& person, const Tokens& tokens = {}) {
    return AllOfHome(person, tokens, [](const v1::Update& update) { return update.id(); });
  }

  // What every person sees on every kind of page, as text.
  std::map<std::string, std::string> Everything(const std::vector<std::string>& persons,
                                                const std::vector<std::string>& groups,
                                                const Tokens& tokens) {
    std::map<std::string, std::string> pages;
    for (const std::string& person : persons) {
      pages[person + " home"] = Shown(client_->Home(person, tokens));
      for (const std::string& group : groups) {
        pages[person + " group " + group] = Shown(client_->GroupPage(person, group, tokens));
      }
      for (const std::string& author : persons) {
        pages[person + " profile " + author] = Shown(client_->Profile(person, author, tokens));
      }
      v1::ListPersonGroupsRequest request;
      request.set_actor(person);
      *request.mutable_tokens() = tokens;
      pages[person + " groups"] =
          client_->Groups(&v1::GroupService::Stub::ListPersonGroups, request)->DebugString();
    }
    return pages;
  }

  // The ids in the ring that Redis holds of a person's home, sorted.
  std::vector<uint64_t> StoredHome(redis::Connection& redis, const std::string& person) {
    const auto reply = redis.Call({"GET", Keys(SmallLayout()).Timeline(PersonId(person))});
    EXPECT_TRUE(reply.ok()) << reply.status();
    std::vector<uint64_t> ids = UnpackIds(reply.ok() ? reply->text() : "");
    std::sort(ids.begin(), ids.end());
    return ids;
  }
  std::vector<uint64_t> Sorted(std::vector<uint64_t> ids) {
    std::sort(ids.begin(), ids.end());
    return ids;
  }

  Klatchd klatchd_{
      {.arguments = {"--shards", "8", "--partitions", "8", "--flush-interval", "50ms"}}};
  std::unique_ptr<Client> client_;

 private:
  template <typename Page>
  static std::string Shown(const Answer<Page>& page) {
    if (page.status.error_code() == StatusCode::PERMISSION_DENIED) {
      return "refused";
    }
    std::string shown = "shown";
    for (const v1::Update& update : page->updates()) {
      shown += fmt::format("\n{}", update.ShortDebugString());
    }
    return shown;
  }
};

TEST_F(KlatchdRestartTest, KilledNodeIsFollowedByOneThatAdoptsItsRedisAndShowsTheSame) {
  const std::vector<std::string> persons = {"ann", "bob", "cid", "dora"};
  ASSERT_THAT(client_->CreateGroup("ann", "one", v1::HISTORY_ALL), Succeeds());
  ASSERT_THAT(client_->CreateGroup("bob", "two"), Succeeds());
  ASSERT_THAT(client_->Add("ann", "one", {"bob", "cid"}), Succeeds());
  ASSERT_THAT(client_->Add("bob", "two", {"ann", "dora"}), Succeeds());
  Tokens tokens;
  std::vector<uint64_t> ids;
  for (int i = 0; i < 40; ++i) {
    const char* group = i % 2 == 0 ? "one" : "two";
    const auto posted = client_->Publish(i % 3 == 0 ? "ann" : "bob", group, std::to_string(i));
    ASSERT_THAT(posted, Succeeds());
    ids.push_back(posted->update_id());
    tokens.MergeFrom(posted->tokens());
  }
  ASSERT_THAT(client_->Edit("ann", ids[0], "edited"), Succeeds());
  ASSERT_THAT(client_->Delete("bob", ids[1]), Succeeds());
  ASSERT_THAT(client_->Remove("ann", "one", {"cid"}), Succeeds());
  const auto added = client_->Add("ann", "one", {"dora"});
  tokens.MergeFrom(added->tokens());
  const Tokens newest(tokens.end() - 3, tokens.end());
  const auto before = Everything(persons, {"one", "two"}, newest);
  const pid_t redis = klatchd_.RedisProcess();
  ASSERT_NE(redis, 0);

  klatchd_.Kill();
  EXPECT_EQ(klatchd_.RedisProcess(), redis);
  Restart();
  EXPECT_EQ(klatchd_.RedisProcess(), redis);
  EXPECT_NE(klatchd_.process().errors().find("adopted"), std::string::npos);
  EXPECT_EQ(Everything(persons, {"one", "two"}, newest), before);

  EXPECT_EQ(klatchd_.Terminate(), 0) << klatchd_.process().errors();
  EXPECT_EQ(klatchd_.RedisProcess(), 0);
  Restart();
  EXPECT_NE(klatchd_.RedisProcess(), redis);
  EXPECT_EQ(Everything(persons, {"one", "two"}, newest), before);
}

TEST_F(KlatchdRestartTest, RetryAfterTheKillYieldsTheSameUpdate) {
  ASSERT_THAT(client_->CreateGroup("ann", "retry"), Succeeds());
  const auto request = Client::Post("ann", "retry", "once");
  const auto first = client_->Publish(request);
  ASSERT_THAT(first, Succeeds());
  klatchd_.Kill();
  Restart();
  const auto second = client_->Publish(request);
  ASSERT_THAT(second, Succeeds());
  EXPECT_EQ(second->update_id(), first->update_id());
  auto other = request;
  other.mutable_update()->set_text("twice");
  EXPECT_THAT(client_->Publish(other), Refuses(StatusCode::ALREADY_EXISTS, "request_id"));
  EXPECT_THAT(IdsAtHome("ann", second->tokens()), ElementsAre(first->update_id()));
}

TEST_F(KlatchdRestartTest, KilledRedisIsStartedAgainAndTheNodeLoadsWhatItHolds) {
  ASSERT_THAT(client_->CreateGroup("ann", "g"), Succeeds());
  ASSERT_THAT(client_->Add("ann", "g", {"bob"}), Succeeds());
  std::vector<uint64_t> ids;
  for (int i = 0; i < 20; ++i) {
    const auto posted = client_->Publish("ann", "g", std::to_string(i));
    ASSERT_THAT(posted, Succeeds());
    ids.push_back(posted->update_id());
  }
  const pid_t redis = klatchd_.RedisProcess();
  ASSERT_EQ(kill(redis, SIGKILL), 0);
  // One post, tried with one key until it goes through.
  const auto request = Client::Post("ann", "g", "after");
  Tokens tokens;
  ASSERT_TRUE(Eventually([&] {
    const auto posted = client_->Publish(request);
    if (posted.ok()) {
      ids.push_back(posted->update_id());
      tokens = posted->tokens();
    }
    return posted.ok();
  }));
  EXPECT_NE(klatchd_.RedisProcess(), redis);
  EXPECT_TRUE(klatchd_.process().running());
  EXPECT_EQ(Sorted(IdsAtHome("bob", tokens)), Sorted(ids));
}

TEST_F(KlatchdRestartTest, RemovalHoldsAfterAKillRightBehindItsAnswer) {
  ASSERT_THAT(client_->CreateGroup("ann", "left"), Succeeds());
  ASSERT_THAT(client_->Add("ann", "left", {"bob"}), Succeeds());
  const auto posted = client_->Publish("ann", "left", "secret");
  ASSERT_THAT(IdsAtHome("bob", posted->tokens()), ElementsAre(posted->update_id()));
  ASSERT_THAT(client_->Remove("ann", "left", {"bob"}), Succeeds());
  klatchd_.Kill();
  Restart();
  EXPECT_THAT(IdsAtHome("bob"), IsEmpty());
  EXPECT_THAT(client_->GroupPage("bob", "left"), Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  EXPECT_THAT(TextsOf(*client_->Profile("bob", "ann")), IsEmpty());
  EXPECT_THAT(client_->Get("bob", posted->update_id()),
              Refuses(StatusCode::NOT_FOUND, "update_id"));
}

TEST_F(KlatchdRestartTest, TimelinesInRedisBecomeWhatPagesShowAndTheCheckpointMoves) {
  const std::vector<std::string> persons = {"ann", "bob", "cid"};
  ASSERT_THAT(client_->CreateGroup("ann", "flushed"), Succeeds());
  ASSERT_THAT(client_->Add("ann", "flushed", {"bob", "cid"}), Succeeds());
  Tokens tokens;
  uint64_t last = 0;
  // More than a first step of a stored timeline holds, in several flushes.
  for (int i = 0; i < 150; ++i) {
    const auto posted = client_->Publish("bob", "flushed", std::to_string(i));
    ASSERT_THAT(posted, Succeeds());
    tokens = posted->tokens();
    last = posted->update_id();
  }
  auto redis = klatchd_.ConnectRedis();
  const Layout layout = SmallLayout();
  const Keys keys(layout);
  for (const std::string& person : persons) {
    const std::vector<uint64_t> shown = Sorted(IdsAtHome(person, tokens));
    EXPECT_EQ(shown.size(), 150u);
    EXPECT_TRUE(Eventually([&] { return StoredHome(*redis, person) == shown; })) << person;
    const std::string key = keys.Checkpoint(layout.PartitionOf(PersonId(person)));
    EXPECT_TRUE(Eventually([&] {
      const auto reply = redis->Call({"GET", key});
      const size_t offset = 8 * UpdateId(last).shard().value();
      return reply.ok() && reply->text().size() == 8 * layout.shard_count &&
             base::LoadLittleEndian<uint64_t>(reply->text(), offset) >= last;
    })) << key;
  }
  // Flushed: nothing is replayed, and what is stored is not stored twice.
  klatchd_.Kill();
  Restart();
  for (const std::string& person : persons) {
    EXPECT_EQ(Sorted(IdsAtHome(person)), StoredHome(*redis, person));
  }
  const auto posted = client_->Publish("bob", "flushed", "after");
  const std::vector<uint64_t> shown = Sorted(IdsAtHome("cid", posted->tokens()));
  EXPECT_EQ(shown.size(), 151u);
  EXPECT_TRUE(Eventually([&] { return StoredHome(*redis, "cid") == shown; }));
}

// Threads that post one after the other until a post fails; then what was acknowledged, and the
// requests whose fate is unknown.
class Burst {
 public:
  Burst(const Klatchd& klatchd, const std::vector<std::string>& authors, const std::string& group) {
    for (const std::string& author : authors) {
      threads_.emplace_back([this, &klatchd, author, group] {
        Client client(klatchd.Channel());
        Post(client, author, group);
      });
    }
  }
  ~Burst() { Join(); }
  Burst(const Burst&) = delete;
  Burst& operator=(const Burst&) = delete;

  // Relaxed: it says how far the burst has come and publishes nothing.
  size_t acked_count() const { return acked_count_.load(std::memory_order_relaxed); }

  void Join() {
    for (std::thread& thread : threads_) {
      if (thread.joinable()) {
        thread.join();
      }
    }
  }

  // After Join.
  const std::map<uint64_t, v1::PublishUpdateRequest>& acked() const { return acked_; }
  const std::vector<v1::PublishUpdateRequest>& unknown() const { return unknown_; }
  const Tokens& tokens() const { return tokens_; }

 private:
  void Post(Client& client, const std::string& author, const std::string& group) {
    while (true) {
      const auto request = Client::Post(author, group, Client::NewRequestId());
      const auto posted = client.Publish(request);
      std::lock_guard lock(mutex_);
      if (!posted.ok()) {
        EXPECT_EQ(posted.status.error_code(), StatusCode::UNAVAILABLE)
            << posted.status.error_message();
        unknown_.push_back(request);
        return;
      }
      acked_[posted->update_id()] = request;
      tokens_ = posted->tokens();
      acked_count_.fetch_add(1, std::memory_order_relaxed);
    }
  }

  std::vector<std::thread> threads_;
  std::atomic<size_t> acked_count_{0};
  std::mutex mutex_;
  // Guarded by mutex_.
  std::map<uint64_t, v1::PublishUpdateRequest> acked_;
  std::vector<v1::PublishUpdateRequest> unknown_;
  Tokens tokens_;
};

class KlatchdBurstTest : public KlatchdRestartTest, public ::testing::WithParamInterface<int> {};

TEST_P(KlatchdBurstTest, EveryAcknowledgedUpdateIsOnEveryPageExactlyOnce) {
  const unsigned seed = std::random_device()();
  RecordProperty("seed", std::to_string(seed));
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 5; ++round) {
    SCOPED_TRACE(fmt::format("round {}", round));
    const std::string prefix = fmt::format("r{}-", round);
    const std::vector<std::string> authors = {prefix + "ann", prefix + "bob", prefix + "cid"};
    std::vector<std::string> members = authors;
    members.push_back(prefix + "dora");
    const std::string group = prefix + "group";
    ASSERT_THAT(client_->CreateGroup("owner", group), Succeeds());
    ASSERT_THAT(client_->Add("owner", group, members), Succeeds());
    const size_t enough = std::uniform_int_distribution<size_t>(1, 400)(random);
    Burst burst(klatchd_, authors, group);
    EXPECT_TRUE(Eventually([&] { return burst.acked_count() >= enough; }));
    klatchd_.process().Signal(GetParam());
    const int ended = klatchd_.process().AwaitEnd().value_or(-1);
    EXPECT_EQ(ended, GetParam() == SIGKILL ? 128 + SIGKILL : 0) << klatchd_.process().errors();
    burst.Join();
    Restart();

    // Where the answer was lost, the update is there or not; a retry decides, and still there is
    // one.
    std::set<uint64_t> expected;
    for (const auto& [id, request] : burst.acked()) {
      expected.insert(id);
    }
    Tokens tokens = burst.tokens();
    const std::vector<uint64_t> shown_before = IdsAtHome(members[3], tokens);
    for (const uint64_t id : expected) {
      EXPECT_EQ(std::count(shown_before.begin(), shown_before.end(), id), 1) << id;
    }
    EXPECT_LE(shown_before.size(), expected.size() + burst.unknown().size());
    for (const v1::PublishUpdateRequest& request : burst.unknown()) {
      const auto retried = client_->Publish(request);
      ASSERT_THAT(retried, Succeeds());
      EXPECT_TRUE(expected.insert(retried->update_id()).second);
      tokens.MergeFrom(retried->tokens());
    }
    for (const std::string& member : members) {
      EXPECT_THAT(IdsAtHome(member, tokens), UnorderedElementsAreArray(expected)) << member;
    }
    auto redis = klatchd_.ConnectRedis();
    const std::vector<uint64_t> sorted(expected.begin(), expected.end());
    // What was written twice around the kill takes no second slot.
    EXPECT_TRUE(Eventually([&] { return StoredHome(*redis, members[3]) == sorted; },
                           std::chrono::seconds(20)));
  }
}

INSTANTIATE_TEST_SUITE_P(Ended, KlatchdBurstTest, ::testing::Values(SIGKILL, SIGTERM),
                         [](const auto& test) {
                           return std::string(test.param == SIGKILL ? "BySigkill" : "BySigterm");
                         });

}  // namespace
}  // namespace klatch::testing
