// Groups that are read from their feeds: across the switches there and back home timelines, watches
// and counts hold each update that is due once, and nothing else.

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "services/model/keys.h"
#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"
#include "tests/integration/klatchd_watch_client.h"
#include "tests/stress/seed.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using ::testing::UnorderedElementsAreArray;

class KlatchdPulledTest : public ::testing::Test {
 protected:
  KlatchdPulledTest() { Connect(); }

  void Connect() { client_ = std::make_unique<Client>(klatchd_.Channel()); }
  void Restart() {
    klatchd_.Start();
    Connect();
  }

  bool IsPulled(const std::string& actor, const std::string& group) {
    v1::GetGroupRequest request;
    request.set_actor(actor);
    request.set_group(group);
    return client_->Groups(&v1::GroupService::Stub::GetGroup, request)->group().pulled();
  }
  // Switched, and applied here.
  bool AwaitPulled(const std::string& actor, const std::string& group, bool is_pulled) {
    return Eventually([&] { return IsPulled(actor, group) == is_pulled; }) &&
           client_->Home(actor, client_->Publish(actor, group, "mark")->tokens()).ok();
  }
  // A group of ann, bob and cat that is copied; dan makes it pulled.
  void MakeGroup(const std::string& group, v1::History history = v1::HISTORY_NONE,
                 v1::Audience audience = v1::AUDIENCE_MEMBERS_AT_POSTING) {
    ASSERT_THAT(client_->CreateGroup("ann", group, history, audience), Succeeds());
    ASSERT_THAT(client_->Add("ann", group, {"bob", "cat"}), Succeeds());
  }
  void MakePulled(const std::string& group, v1::History history = v1::HISTORY_NONE,
                  v1::Audience audience = v1::AUDIENCE_MEMBERS_AT_POSTING) {
    MakeGroup(group, history, audience);
    ASSERT_THAT(client_->Add("ann", group, {"dan"}), Succeeds());
    ASSERT_TRUE(Eventually([&] { return IsPulled("ann", group); }));
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
  // As a number.
  double Metric(const std::string& name) {
    const std::string text = klatchd_.Get("/metrics").second;
    const size_t at = text.find("\n" + name + " ");
    EXPECT_NE(at, std::string::npos) << name;
    return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
  }
  std::vector<uint64_t> AllOfHome(const std::string& person, const Tokens& tokens,
                                  int page_size = 200) {
    std::vector<uint64_t> ids;
    std::string token;
    do {
      const auto page = client_->Home(person, tokens, page_size, token);
      EXPECT_THAT(page, Succeeds());
      for (const v1::Update& update : page->updates()) {
        ids.push_back(update.id());
      }
      token = page->next_page_token();
    } while (!token.empty());
    return ids;
  }

  Klatchd klatchd_{{.arguments = {"--shards", "8", "--partitions", "8", "--workers", "2",
                                  "--flush-interval", "50ms", "--pull-above", "3"}}};
  std::unique_ptr<Client> client_;
};

TEST_F(KlatchdPulledTest, GroupCrossesTheThresholdUpAndDownAndHomePagesStayWhole) {
  MakeGroup("g");
  PostEach("ann", "g", {"1", "2"});
  EXPECT_FALSE(IsPulled("ann", "g")) << "3 are not more than 3";
  ASSERT_THAT(client_->Add("ann", "g", {"dan"}), Succeeds());
  PostEach("bob", "g", {"3"});  // before or behind the switch
  ASSERT_TRUE(Eventually([&] { return IsPulled("ann", "g"); }));
  Tokens tokens = PostEach("cat", "g", {"4", "5"});
  EXPECT_THAT(HomeTexts("bob", tokens), ElementsAre("5", "4", "3", "2", "1"));
  EXPECT_THAT(HomeTexts("dan", tokens), ElementsAre("5", "4", "3"));
  EXPECT_EQ(Metric("klatch_pulled_groups"), 1);
  EXPECT_GE(Metric("klatch_pulled_reads_total"), 2);

  ASSERT_THAT(client_->Remove("ann", "g", {"dan"}), Succeeds());
  tokens = PostEach("ann", "g", {"6"});
  EXPECT_THAT(HomeTexts("dan", tokens), IsEmpty());
  EXPECT_TRUE(IsPulled("ann", "g")) << "3 are not below four fifths of 3";
  ASSERT_THAT(client_->Remove("ann", "g", {"cat"}), Succeeds());
  PostEach("ann", "g", {"7"});
  ASSERT_TRUE(Eventually([&] { return !IsPulled("ann", "g"); }));
  tokens = PostEach("ann", "g", {"8"});
  EXPECT_THAT(HomeTexts("bob", tokens), ElementsAre("8", "7", "6", "5", "4", "3", "2", "1"));
  EXPECT_THAT(TextsOf(*client_->GroupPage("bob", "g", tokens)),
              ElementsAre("8", "7", "6", "5", "4", "3", "2", "1"));
  EXPECT_TRUE(Eventually([&] { return Metric("klatch_pulled_groups") == 0; }));
  EXPECT_THAT(HomeTexts("cat", tokens), IsEmpty());
}

TEST_F(KlatchdPulledTest, PostToAPulledGroupIsCopiedToItsAuthorsProfileOnly) {
  MakePulled("g");
  ASSERT_THAT(client_->Home("ann", PostEach("ann", "g", {"first"})), Succeeds());
  const double before = Metric("klatch_deliveries_total");
  const Tokens tokens = PostEach("ann", "g", {"1", "2", "3"});
  EXPECT_THAT(HomeTexts("dan", tokens), ElementsAre("3", "2", "1", "first"));
  EXPECT_TRUE(Eventually([&] { return Metric("klatch_deliveries_total") >= before + 3; }));
  EXPECT_EQ(Metric("klatch_deliveries_total"), before + 3);
  EXPECT_THAT(TextsOf(*client_->Profile("bob", "ann", tokens)),
              ElementsAre("3", "2", "1", "first"));
}

TEST_F(KlatchdPulledTest, WhoJoinsSeesThePastAsFarAsItIsOpen) {
  MakePulled("closed");
  MakePulled("open", v1::HISTORY_ALL, v1::AUDIENCE_MEMBERS_NOW);
  PostEach("ann", "closed", {"closed before"});
  PostEach("ann", "open", {"open before"});
  Tokens tokens = client_->Add("ann", "closed", {"eve"})->tokens();
  tokens.MergeFrom(client_->Add("ann", "open", {"eve"})->tokens());
  tokens.MergeFrom(PostEach("ann", "closed", {"closed after"}));
  tokens.MergeFrom(PostEach("ann", "open", {"open after"}));
  EXPECT_TRUE(Eventually([&] {
    return !client_->Home("eve", tokens)->completeness().hole_since();
  })) << "filled from the feed";
  EXPECT_THAT(HomeTexts("eve", tokens),
              UnorderedElementsAre("open after", "closed after", "open before"));
}

TEST_F(KlatchdPulledTest, WhatIsTakenAwayIsGoneAtOnce) {
  MakePulled("g");
  const auto first = client_->Publish("ann", "g", "first");
  const auto second = client_->Publish("bob", "g", "second");
  ASSERT_THAT(HomeTexts("dan", second->tokens()), ElementsAre("second", "first"));

  ASSERT_THAT(client_->Edit("ann", first->update_id(), "edited"), Succeeds());
  EXPECT_THAT(HomeTexts("dan"), ElementsAre("second", "edited"));
  ASSERT_THAT(client_->Delete("ann", first->update_id()), Succeeds());
  EXPECT_THAT(HomeTexts("dan"), ElementsAre("second"));

  v1::BlockPersonRequest block;
  block.set_actor("dan");
  block.set_person("bob");
  ASSERT_THAT(client_->Persons(&v1::PersonService::Stub::BlockPerson, block), Succeeds());
  EXPECT_THAT(HomeTexts("dan"), IsEmpty());
  EXPECT_THAT(HomeTexts("cat"), ElementsAre("second"));

  const auto third = client_->Publish("ann", "g", "third");
  ASSERT_THAT(HomeTexts("cat", third->tokens()), ElementsAre("third", "second"));
  ASSERT_THAT(client_->Remove("ann", "g", {"cat"}), Succeeds());
  EXPECT_THAT(HomeTexts("cat"), IsEmpty());
  const Tokens again = client_->Add("ann", "g", {"cat"})->tokens();
  EXPECT_THAT(HomeTexts("cat", again), IsEmpty()) << "of the stay before";
  const auto fourth = client_->Publish("ann", "g", "fourth");
  EXPECT_THAT(HomeTexts("cat", fourth->tokens()), ElementsAre("fourth"));
  ASSERT_THAT(client_->DeleteGroup("ann", "g"), Succeeds());
  EXPECT_THAT(HomeTexts("dan"), IsEmpty());
}

TEST_F(KlatchdPulledTest, PageTokensLeadThroughCopiesAndFeedsTogether) {
  MakePulled("pulled");
  MakeGroup("copied");
  std::vector<uint64_t> ids;
  Tokens tokens;
  for (int i = 0; i < 50; ++i) {
    const auto posted = client_->Publish("ann", i % 3 == 0 ? "copied" : "pulled", "text");
    ASSERT_THAT(posted, Succeeds());
    ids.insert(ids.begin(), posted->update_id());
    tokens.MergeFrom(posted->tokens());
  }
  const Tokens newest(tokens.end() - 3, tokens.end());
  // Of one millisecond the shard tells which id is higher.
  std::ranges::sort(ids, std::greater<>());
  EXPECT_THAT(AllOfHome("bob", newest, 7), ElementsAreArray(ids));
}

TEST_F(KlatchdPulledTest, HomeKeepsTheNewestOfAllAndSaysWhatIsTrimmed) {
  MakePulled("pulled");
  MakeGroup("copied");
  std::vector<uint64_t> ids;
  Tokens tokens;
  for (int i = 0; i < 900; ++i) {
    const auto posted = client_->Publish("ann", i % 2 == 0 ? "copied" : "pulled", "text");
    ASSERT_THAT(posted, Succeeds());
    ids.insert(ids.begin(), posted->update_id());
    tokens = posted->tokens();
    if (i == 898) {
      ASSERT_THAT(client_->Home("bob", tokens), Succeeds());
    }
  }
  const std::vector<uint64_t> shown = AllOfHome("bob", tokens);
  // Of one millisecond the shard tells which id is higher.
  std::ranges::sort(ids, std::greater<>());
  ids.resize(800);
  EXPECT_THAT(shown, ElementsAreArray(ids));
  EXPECT_TRUE(client_->Home("bob")->completeness().trimmed());
}

TEST_F(KlatchdPulledTest, UpdateOfACopiedAndAPulledGroupIsSeenOnceThroughBoth) {
  MakePulled("pulled");
  MakeGroup("copied");
  v1::PublishUpdateRequest request = Client::Post("ann", "pulled", "to both");
  request.mutable_update()->add_groups("copied");
  const auto posted = client_->Publish(request);
  ASSERT_THAT(posted, Succeeds());
  const auto of_bob = client_->Home("bob", posted->tokens());
  ASSERT_EQ(of_bob->updates_size(), 1);
  EXPECT_EQ(of_bob->updates(0).groups_size(), 2);
  const auto of_dan = client_->Home("dan", posted->tokens());
  ASSERT_EQ(of_dan->updates_size(), 1);
  EXPECT_THAT(of_dan->updates(0).groups(), ElementsAre("pulled"));
  ASSERT_THAT(client_->Remove("ann", "copied", {"bob"}), Succeeds());
  EXPECT_THAT(client_->Home("bob")->updates(0).groups(), ElementsAre("pulled"));
  ASSERT_THAT(client_->Remove("ann", "pulled", {"bob"}), Succeeds());
  EXPECT_THAT(HomeTexts("bob"), IsEmpty());
}

TEST_F(KlatchdPulledTest, UnreadCountsAndMarkersCountWhatIsInFeeds) {
  MakePulled("g");
  const Tokens tokens = PostEach("ann", "g", {"1", "2", "3"});
  const auto unread = [&] {
    v1::GetUnreadCountsRequest request;
    request.set_actor("dan");
    request.set_home(true);
    *request.mutable_tokens() = tokens;
    return client_->Persons(&v1::PersonService::Stub::GetUnreadCounts, request)->counts(0).count();
  };
  EXPECT_EQ(unread(), 3u);
  v1::SetReadMarkerRequest mark;
  mark.set_actor("dan");
  mark.set_home(true);
  mark.set_now(true);
  ASSERT_THAT(client_->Persons(&v1::PersonService::Stub::SetReadMarker, mark), Succeeds());
  EXPECT_EQ(unread(), 0u);
}

TEST_F(KlatchdPulledTest, WatchShowsEachUpdateOnceOverTheSwitches) {
  MakeGroup("g");
  const std::string from_page = client_->Home("bob", PostEach("ann", "g", {"seen"}))->watch_token();
  PostEach("ann", "g", {"1"});
  ASSERT_THAT(client_->Add("ann", "g", {"dan"}), Succeeds());
  ASSERT_TRUE(Eventually([&] { return IsPulled("ann", "g"); }));
  PostEach("ann", "g", {"2"});
  std::string token;
  {
    Watcher watcher(klatchd_.Channel(), "bob", from_page);
    ASSERT_TRUE(watcher.AwaitWords({"+1", "+2"}));
    PostEach("ann", "g", {"3"});
    ASSERT_TRUE(watcher.AwaitWords({"+1", "+2", "+3"})) << "live, though nothing was copied";
    ASSERT_TRUE(watcher.AwaitToken(3));
    token = watcher.token();
  }
  PostEach("ann", "g", {"4"});
  ASSERT_THAT(client_->Remove("ann", "g", {"dan", "cat"}), Succeeds());
  ASSERT_TRUE(Eventually([&] { return !IsPulled("ann", "g"); }));
  PostEach("ann", "g", {"5"});
  Watcher watcher(klatchd_.Channel(), "bob", token);
  ASSERT_TRUE(watcher.AwaitWords({"+4", "+5"}));
  const std::string of_page = client_->Home("bob")->watch_token();
  PostEach("ann", "g", {"6"});
  ASSERT_TRUE(watcher.AwaitWords({"+4", "+5", "+6"}));
  Watcher from_there(klatchd_.Channel(), "bob", of_page);
  ASSERT_TRUE(from_there.AwaitWords({"+6"}));
}

TEST_F(KlatchdPulledTest, RestartKeepsWhatIsPulledAndWhatWasUntilLately) {
  MakePulled("pulled");
  MakePulled("copied again");
  PostEach("ann", "copied again", {"not copied"});
  ASSERT_THAT(client_->Remove("ann", "copied again", {"cat", "dan"}), Succeeds());
  ASSERT_TRUE(Eventually([&] { return !IsPulled("ann", "copied again"); }));
  PostEach("ann", "copied again", {"copied"});
  PostEach("ann", "pulled", {"pulled"});
  const std::vector<std::string> expected = {"pulled", "copied", "not copied"};
  for (const bool killed : {true, false}) {
    if (killed) {
      klatchd_.Kill();
    } else {
      ASSERT_EQ(klatchd_.Terminate(), 0);
    }
    Restart();
    EXPECT_THAT(HomeTexts("bob"), UnorderedElementsAreArray(expected));
    EXPECT_EQ(Metric("klatch_pulled_groups"), 1);
    EXPECT_TRUE(IsPulled("ann", "pulled"));
  }
  PostEach("ann", "pulled", {"later"});
  EXPECT_THAT(HomeTexts("bob", PostEach("ann", "copied again", {"last"})),
              UnorderedElementsAre("last", "later", "pulled", "copied", "not copied"));
}

TEST_F(KlatchdPulledTest, FeedIsNotAskedAnyMoreWhenItHoldsOnlyWhatWasCopied) {
  MakePulled("g");
  ASSERT_THAT(client_->Remove("ann", "g", {"cat", "dan"}), Succeeds());
  ASSERT_TRUE(Eventually([&] { return !IsPulled("ann", "g"); }));
  Tokens tokens;
  for (int i = 0; i < 880; ++i) {
    tokens = client_->Publish("ann", "g", "text")->tokens();
  }
  EXPECT_TRUE(Eventually([&] {
    const double before = Metric("klatch_pulled_reads_total");
    EXPECT_EQ(AllOfHome("bob", tokens).size(), 800u);
    return Metric("klatch_pulled_reads_total") == before;
  }));
}

// Threads that post, and one that makes the group large and small again, until the node is gone.
class Flips {
 public:
  Flips(const Klatchd& klatchd, std::string group) : klatchd_(klatchd), group_(std::move(group)) {
    for (const char* author : {"ann", "bob"}) {
      threads_.emplace_back([this, author] { Post(author); });
    }
    threads_.emplace_back([this] { Flip(); });
  }
  ~Flips() { Join(); }
  Flips(const Flips&) = delete;
  Flips& operator=(const Flips&) = delete;

  void Join() {
    for (std::thread& thread : threads_) {
      if (thread.joinable()) {
        thread.join();
      }
    }
  }

  // Relaxed: they say how far it has come and publish nothing.
  int flips() const { return flips_.load(std::memory_order_relaxed); }
  int posts() const { return posts_.load(std::memory_order_relaxed); }

  // After Join.
  std::set<uint64_t> acked;
  std::vector<v1::PublishUpdateRequest> unknown;
  Tokens tokens;

 private:
  void Post(const std::string& author) {
    Client client(klatchd_.Channel());
    while (true) {
      const auto request = Client::Post(author, group_, Client::NewRequestId());
      const auto posted = client.Publish(request);
      std::lock_guard lock(mutex_);
      if (!posted.ok()) {
        EXPECT_EQ(posted.status.error_code(), StatusCode::UNAVAILABLE);
        unknown.push_back(request);
        return;
      }
      acked.insert(posted->update_id());
      tokens = posted->tokens();
      posts_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  void Flip() {
    Client client(klatchd_.Channel());
    const std::vector<std::string> others = {"cat", "dan", "eve"};
    for (bool large = true;; large = !large) {
      const bool changed = large ? client.Add("ann", group_, others).ok()
                                 : client.Remove("ann", group_, others).ok();
      if (!changed || !AwaitPulled(client, large)) {
        return;
      }
      flips_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  // False: the node is gone.
  bool AwaitPulled(Client& client, bool is_pulled) {
    v1::GetGroupRequest request;
    request.set_actor("ann");
    request.set_group(group_);
    bool gone = false;
    EXPECT_TRUE(Eventually([&] {
      const auto group = client.Groups(&v1::GroupService::Stub::GetGroup, request);
      gone = !group.ok();
      return gone || group->group().pulled() == is_pulled;
    }));
    return !gone;
  }

  const Klatchd& klatchd_;
  const std::string group_;
  std::atomic<int> flips_{0};
  std::atomic<int> posts_{0};
  std::mutex mutex_;  // guards the public fields
  std::vector<std::thread> threads_;
};

TEST_F(KlatchdPulledTest, KilledAmongSwitchesItShowsEveryAcknowledgedUpdateOnce) {
  const uint64_t seed = stress::PrintedSeed();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 8 && !HasFailure(); ++round) {
    SCOPED_TRACE(fmt::format("round {}", round));
    const std::string group = fmt::format("g{}", round);
    ASSERT_THAT(client_->CreateGroup("ann", group), Succeeds());
    const auto added = client_->Add("ann", group, {"bob"});
    ASSERT_THAT(added, Succeeds());
    const std::vector<uint64_t> earlier = AllOfHome("bob", added->tokens());
    const int flips = static_cast<int>(random() % 4);
    const int posts = static_cast<int>(1 + random() % 20);
    Flips running(klatchd_, group);
    EXPECT_TRUE(Eventually([&] { return running.flips() >= flips && running.posts() >= posts; }));
    klatchd_.Kill();
    running.Join();
    Restart();
    for (const v1::PublishUpdateRequest& request : running.unknown) {
      const auto retried = client_->Publish(request);
      ASSERT_THAT(retried, Succeeds());
      EXPECT_TRUE(running.acked.insert(retried->update_id()).second);
      running.tokens.MergeFrom(retried->tokens());
    }
    std::set<uint64_t> expected(
        running.acked.rbegin(),
        std::next(running.acked.rbegin(), std::min<ptrdiff_t>(600, std::ssize(running.acked))));
    for (const char* member : {"ann", "bob"}) {
      std::vector<uint64_t> shown = AllOfHome(member, running.tokens);
      shown.resize(std::min(shown.size(), expected.size()));
      EXPECT_THAT(shown, UnorderedElementsAreArray(expected)) << member;
    }
  }
}

TEST_F(KlatchdPulledTest, WatchThatBreaksOffAmongSwitchesShowsEachUpdateOnce) {
  MakeGroup("g");
  std::string token = client_->Home("bob", PostEach("ann", "g", {"seen"}))->watch_token();
  const uint64_t seed = stress::PrintedSeed();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  constexpr size_t kPosts = 1'500;
  std::vector<uint64_t> posted;
  std::thread poster([&] {
    Client own(klatchd_.Channel());
    for (size_t i = 0; i < kPosts; ++i) {
      posted.push_back(own.Publish("ann", "g", std::to_string(i))->update_id());
      if (i % 100 == 50) {
        EXPECT_THAT(own.Add("ann", "g", {"dan", "eve"}), Succeeds());
      } else if (i % 100 == 0) {
        EXPECT_THAT(own.Remove("ann", "g", {"cat", "dan", "eve"}), Succeeds());
        EXPECT_THAT(own.Add("ann", "g", {"cat"}), Succeeds());
      }
    }
  });
  std::vector<uint64_t> shown;
  while (shown.size() < kPosts && !HasFailure()) {
    Watcher watcher(klatchd_.Channel(), "bob", token);
    const size_t wanted = std::min<size_t>(random() % 100, kPosts - shown.size());
    EXPECT_TRUE(watcher.AwaitToken(wanted)) << shown.size();
    watcher.Cancel();
    for (const v1::WatchEvent& event : watcher.committed()) {
      EXPECT_TRUE(event.has_published()) << event.ShortDebugString();
      shown.push_back(event.published().id());
    }
    token = watcher.token().empty() ? token : watcher.token();
  }
  poster.join();
  EXPECT_THAT(shown, UnorderedElementsAreArray(posted));
}

}  // namespace
}  // namespace klatch::testing
