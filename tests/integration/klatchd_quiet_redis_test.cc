// Persons who don't read get no copies, and find everything when they are back.

#include <fmt/format.h>

#include <random>

#include "services/materialize/stored_ring.h"
#include "services/model/keys.h"
#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"
#include "tests/integration/klatchd_watch_client.h"
#include "tests/stress/seed.h"

namespace klatch::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;

class KlatchdQuietTest : public ::testing::Test {
 protected:
  KlatchdQuietTest() { Connect(); }

  void Connect() { client_ = std::make_unique<Client>(klatchd_.Channel()); }

  double Metric(const std::string& name) {
    const std::string text = klatchd_.Get("/metrics").second;
    const size_t at = text.find("\n" + name + " ");
    EXPECT_NE(at, std::string::npos) << name;
    return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
  }
  bool AwaitQuiet(int persons) {
    return Eventually([&] { return Metric("klatch_quiet_persons") == persons; });
  }
  Tokens PostEach(const std::string& author, const std::string& group,
                  const std::vector<std::string>& texts) {
    Tokens tokens;
    for (const std::string& text : texts) {
      tokens = client_->Publish(author, group, text)->tokens();
    }
    return tokens;
  }
  std::vector<std::string> HomeTexts(const std::string& person, const Tokens& tokens = {}) {
    return TextsOf(*client_->Home(person, tokens));
  }
  std::set<uint64_t> StoredHome(const std::string& person) {
    const auto redis = klatchd_.ConnectRedis();
    Layout layout;
    layout.shard_count = layout.partition_count = 8;
    const auto reply = redis->Call({"GET", Keys(layout).Timeline(PersonId(person))});
    EXPECT_TRUE(reply.ok());
    const std::vector<uint64_t> ids = UnpackIds(reply.ok() ? reply->text() : "");
    return {ids.begin(), ids.end()};
  }

  // Everybody falls quiet between two steps of a test that wait for it, and stays awake within one.
  Klatchd klatchd_{{.arguments = {"--shards", "8", "--partitions", "8", "--workers", "2",
                                  "--flush-interval", "50ms", "--quiet-after", "1s"}}};
  std::unique_ptr<Client> client_;
};

TEST_F(KlatchdQuietTest, WhoIsBackFindsAPageThatLacksNothing) {
  ASSERT_THAT(client_->CreateGroup("ann", "g"), Succeeds());
  ASSERT_THAT(client_->Add("ann", "g", {"bob"}), Succeeds());
  EXPECT_THAT(HomeTexts("bob", PostEach("ann", "g", {"1"})), ElementsAre("1"));
  ASSERT_TRUE(AwaitQuiet(2));
  const double delivered = Metric("klatch_deliveries_total");
  const auto second = client_->Publish("ann", "g", "2");
  const auto third = client_->Publish("ann", "g", "3");
  ASSERT_TRUE(Eventually([&] { return Metric("klatch_deliveries_total") >= delivered + 2; }));
  EXPECT_EQ(Metric("klatch_deliveries_total"), delivered + 2) << "to the profile only";
  const auto page = client_->Home("bob", third->tokens());
  EXPECT_THAT(TextsOf(*page), ElementsAre("3", "2", "1"));
  EXPECT_EQ(page->completeness().hole_since(), 0u);
  EXPECT_THAT(HomeTexts("bob", PostEach("ann", "g", {"4"})), ElementsAre("4", "3", "2", "1"));
  // What was missed is stored as if it had been copied.
  EXPECT_TRUE(Eventually([&] {
    HomeTexts("bob");
    const std::set<uint64_t> stored = StoredHome("bob");
    return stored.contains(second->update_id()) && stored.contains(third->update_id());
  }));
  EXPECT_TRUE(Eventually([&] {
    const double before = Metric("klatch_pulled_reads_total");
    EXPECT_THAT(HomeTexts("bob"), ElementsAre("4", "3", "2", "1"));
    return Metric("klatch_pulled_reads_total") == before;
  })) << "feeds are asked no more";
}

TEST_F(KlatchdQuietTest, UnreadCountsOfTheQuietAreWholeAndWakeThem) {
  ASSERT_THAT(client_->CreateGroup("ann", "g"), Succeeds());
  ASSERT_THAT(client_->Add("ann", "g", {"bob"}), Succeeds());
  ASSERT_TRUE(AwaitQuiet(2));
  v1::GetUnreadCountsRequest request;
  request.set_actor("bob");
  request.set_home(true);
  *request.mutable_tokens() = PostEach("ann", "g", {"1", "2"});
  const auto counts = client_->Persons(&v1::PersonService::Stub::GetUnreadCounts, request);
  EXPECT_EQ(counts->counts(0).count(), 2u);
  EXPECT_FALSE(counts->counts(0).is_at_least());
  EXPECT_TRUE(AwaitQuiet(1));
}

TEST_F(KlatchdQuietTest, WhoLeavesWhileQuietSeesNothingAndWhoComesSeesWhatIsDue) {
  for (const char* group : {"left", "joined"}) {
    ASSERT_THAT(client_->CreateGroup("ann", group), Succeeds());
  }
  ASSERT_THAT(client_->Add("ann", "left", {"bob"}), Succeeds());
  ASSERT_TRUE(AwaitQuiet(2));
  PostEach("ann", "left", {"secret"});
  PostEach("ann", "joined", {"before"});
  ASSERT_THAT(client_->Remove("ann", "left", {"bob"}), Succeeds());
  ASSERT_THAT(client_->Add("ann", "joined", {"bob"}), Succeeds());
  EXPECT_THAT(HomeTexts("bob", PostEach("ann", "joined", {"after"})), ElementsAre("after"));
}

TEST_F(KlatchdQuietTest, RestartKnowsWhoIsQuietAndLosesNothing) {
  ASSERT_THAT(client_->CreateGroup("ann", "g"), Succeeds());
  ASSERT_THAT(client_->Add("ann", "g", {"bob", "cat"}), Succeeds());
  PostEach("ann", "g", {"1"});
  ASSERT_TRUE(AwaitQuiet(3));
  PostEach("ann", "g", {"2"});
  for (const bool killed : {true, false}) {
    if (killed) {
      klatchd_.Kill();
    } else {
      ASSERT_EQ(klatchd_.Terminate(), 0);
    }
    klatchd_.Start();
    Connect();
    EXPECT_TRUE(AwaitQuiet(3)) << "loaded, or fallen quiet again";
  }
  const auto page = client_->Home("bob", PostEach("ann", "g", {"3"}));
  EXPECT_THAT(TextsOf(*page), ElementsAre("3", "2", "1"));
  // Killed while it is being made up for.
  klatchd_.Kill();
  klatchd_.Start();
  Connect();
  EXPECT_TRUE(Eventually([&] {
    const auto again = client_->Home("bob");
    const bool is_whole = again->completeness().hole_since() == 0;
    EXPECT_TRUE(!is_whole || TextsOf(*again) == std::vector<std::string>({"3", "2", "1"}));
    return is_whole;
  }));
  EXPECT_THAT(HomeTexts("cat"), ElementsAre("3", "2", "1"));
}

TEST_F(KlatchdQuietTest, WatchOfTheQuietShowsWhatTheyMissedAndKeepsThemAwake) {
  ASSERT_THAT(client_->CreateGroup("ann", "g"), Succeeds());
  ASSERT_THAT(client_->Add("ann", "g", {"bob"}), Succeeds());
  const std::string token = client_->Home("bob", PostEach("ann", "g", {"seen"}))->watch_token();
  ASSERT_TRUE(AwaitQuiet(2));
  PostEach("ann", "g", {"missed"});
  Watcher watcher(klatchd_.Channel(), "bob", token);
  ASSERT_TRUE(watcher.AwaitWords({"+missed"}));
  EXPECT_TRUE(AwaitQuiet(1));
  PostEach("ann", "g", {"live"});
  ASSERT_TRUE(watcher.AwaitWords({"+missed", "+live"}));
}

// Reads, posts and kills at random: every page holds what was acknowledged before it was asked for.
TEST_F(KlatchdQuietTest, WhoComesAndGoesMissesNothingWhateverIsKilled) {
  const uint64_t seed = stress::PrintedSeed();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  ASSERT_THAT(client_->CreateGroup("ann", "g"), Succeeds());
  const std::vector<std::string> persons = {"bob", "cat", "dan"};
  ASSERT_THAT(client_->Add("ann", "g", persons), Succeeds());
  std::vector<uint64_t> posted;
  for (int round = 0; round < 12 && !HasFailure(); ++round) {
    SCOPED_TRACE(fmt::format("round {}", round));
    const int quiet_min = static_cast<int>(random() % 3);
    EXPECT_TRUE(Eventually([&] { return Metric("klatch_quiet_persons") >= quiet_min; }));
    Tokens tokens;
    for (uint64_t i = 0; i < 1 + random() % 10; ++i) {
      const auto answer = client_->Publish("ann", "g", "text");
      posted.insert(posted.begin(), answer->update_id());
      tokens = answer->tokens();
    }
    if (random() % 3 == 0) {
      klatchd_.Kill();
      klatchd_.Start();
      Connect();
    }
    const std::string& reader = persons[random() % persons.size()];
    // After a restart what is being made up for may be missing for a moment; the page says so.
    EXPECT_TRUE(Eventually([&] {
      const auto page = client_->Home(reader, tokens);
      std::vector<uint64_t> ids;
      for (const v1::Update& update : page->updates()) {
        ids.push_back(update.id());
      }
      const bool is_whole = page->completeness().hole_since() == 0;
      if (is_whole) {
        EXPECT_THAT(ids, ElementsAreArray(posted)) << reader;
      }
      return is_whole;
    }));
  }
}

}  // namespace
}  // namespace klatch::testing
