// Watches of a running klatchd: what happens is shown, once, to whom it concerns, and nothing that
// was taken away.

#include <gmock/gmock.h>

#include <algorithm>
#include <random>
#include <set>

#include "services/model/limits.h"
#include "services/model/position.h"
#include "tests/integration/klatchd_watch_client.h"
#include "tests/stress/seed.h"

namespace klatch::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::UnorderedElementsAreArray;

Klatchd::Options Small() {
  // A sanitizer may need longer than a watch may stand still.
  return {.arguments = {"--shards", "4", "--partitions", "4", "--workers", "2", "--watch-stall-max",
                        "10m"}};
}

class KlatchdWatchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_THAT(client_.CreateGroup("ann", "hiking"), Succeeds());
    ASSERT_THAT(client_.AddApplied("ann", "hiking", {"bob"}), Succeeds());
  }

  // A page that has seen all that the client has done.
  v1::ListHomeTimelineResponse PageOf(const std::string& person) {
    const auto posted = client_.Publish("ann", "hiking", "mark");
    return *client_.Home(person, posted->tokens());
  }

  Klatchd klatchd_{Small()};
  Client client_{klatchd_.Channel()};
};

TEST_F(KlatchdWatchTest, ShowsWhatHappens) {
  Watcher watcher(klatchd_.Channel(), "bob");
  ASSERT_TRUE(watcher.AwaitBegun());
  const auto first = client_.Publish("ann", "hiking", "first");
  const auto second = client_.Publish("bob", "hiking", "second");
  ASSERT_THAT(client_.Edit("ann", first->update_id(), "edited"), Succeeds());
  ASSERT_THAT(client_.Delete("bob", second->update_id()), Succeeds());
  // What is not sent when bob is removed from the group is not shown at all.
  ASSERT_TRUE(watcher.Await(
      [](const Events& events) { return !events.empty() && WordOf(events.back()) == "-"; }));
  ASSERT_THAT(client_.CreateGroup("ann", "chess"), Succeeds());
  ASSERT_THAT(client_.Add("ann", "chess", {"bob"}), Succeeds());
  ASSERT_THAT(client_.Remove("ann", "hiking", {"bob"}), Succeeds());
  ASSERT_THAT(client_.Publish("ann", "hiking", "not for bob"), Succeeds());
  ASSERT_THAT(client_.Publish("ann", "chess", "for bob"), Succeeds());
  ASSERT_TRUE(watcher.Await(
      [](const Events& events) { return !events.empty() && WordOf(events.back()) == "+for bob"; }));
  // An update that was edited before it was shown says the new text from the beginning.
  const std::vector<std::string> words = WordsOf(watcher.events());
  EXPECT_THAT(words, IsSupersetOf({"~edited", "-", "in chess", "out hiking", "+for bob"}));
  EXPECT_THAT(words, Not(Contains("+not for bob")));
  EXPECT_EQ(watcher.events()[0].published().id(), first->update_id());
  EXPECT_THAT(watcher.events()[0].persons(), IsEmpty());
}

TEST_F(KlatchdWatchTest, PersonWhomNobodyKnowsIsShownTheFirstJoin) {
  Watcher watcher(klatchd_.Channel(), "zoe");
  ASSERT_TRUE(watcher.AwaitBegun());
  ASSERT_THAT(client_.Add("ann", "hiking", {"zoe"}), Succeeds());
  ASSERT_THAT(client_.Publish("ann", "hiking", "welcome"), Succeeds());
  EXPECT_TRUE(watcher.AwaitWords({"in hiking", "+welcome"}));
}

TEST_F(KlatchdWatchTest, GroupThatIsDeletedIsLeft) {
  Watcher watcher(klatchd_.Channel(), "bob");
  ASSERT_TRUE(watcher.AwaitBegun());
  ASSERT_THAT(client_.DeleteGroup("ann", "hiking"), Succeeds());
  EXPECT_TRUE(watcher.AwaitWords({"out hiking"}));
}

TEST_F(KlatchdWatchTest, DeletionIsNotShownToWhoJoinedLater) {
  const auto early = client_.Publish("ann", "hiking", "early");
  ASSERT_THAT(client_.AddApplied("ann", "hiking", {"zoe"}), Succeeds());
  Watcher watcher(klatchd_.Channel(), "zoe");
  ASSERT_TRUE(watcher.AwaitBegun());
  ASSERT_THAT(client_.Delete("ann", early->update_id()), Succeeds());
  ASSERT_THAT(client_.Publish("ann", "hiking", "later"), Succeeds());
  EXPECT_TRUE(watcher.AwaitWords({"+later"}));
}

TEST_F(KlatchdWatchTest, BeginsWhereThePageEnds) {
  ASSERT_THAT(client_.Publish("ann", "hiking", "on the page"), Succeeds());
  const v1::ListHomeTimelineResponse page = PageOf("bob");
  ASSERT_THAT(TextsOf(page), ElementsAre("mark", "on the page"));
  ASSERT_THAT(client_.Publish("ann", "hiking", "behind it"), Succeeds());
  Watcher watcher(klatchd_.Channel(), "bob", page.watch_token());
  EXPECT_TRUE(watcher.AwaitWords({"+behind it"}));
  const auto first = client_.Home("bob", {}, 1);
  EXPECT_NE(first->watch_token(), "");
  EXPECT_EQ(client_.Home("bob", {}, 1, first->next_page_token())->watch_token(), "");
}

TEST_F(KlatchdWatchTest, ResumedWatchIsToldWhatItMissed) {
  const auto old = client_.Publish("ann", "hiking", "old");
  const auto gone = client_.Publish("ann", "hiking", "gone");
  ASSERT_THAT(client_.CreateGroup("ann", "chess"), Succeeds());
  ASSERT_THAT(client_.Add("ann", "chess", {"bob"}), Succeeds());
  const std::string token = PageOf("bob").watch_token();
  ASSERT_THAT(client_.Edit("ann", old->update_id(), "new"), Succeeds());
  ASSERT_THAT(client_.Delete("ann", gone->update_id()), Succeeds());
  ASSERT_THAT(client_.Remove("ann", "chess", {"bob"}), Succeeds());
  ASSERT_THAT(client_.CreateGroup("ann", "cooking"), Succeeds());
  ASSERT_THAT(client_.Add("ann", "cooking", {"bob"}), Succeeds());
  ASSERT_THAT(client_.Publish("ann", "cooking", "soup"), Succeeds());
  Watcher watcher(klatchd_.Channel(), "bob", token);
  ASSERT_TRUE(watcher.Await([](const Events& events) { return events.size() >= 5; }));
  // What happened within a millisecond in several shards has no order.
  EXPECT_THAT(WordsOf(watcher.events()),
              ::testing::UnorderedElementsAre("~new", "-", "out chess", "in cooking", "+soup"));
}

TEST_F(KlatchdWatchTest, NothingOfAGroupFollowsTheLeave) {
  Watcher watcher(klatchd_.Channel(), "bob");
  ASSERT_TRUE(watcher.AwaitBegun());
  std::atomic<bool> stop{false};
  std::thread poster([&] {
    Client own(klatchd_.Channel());
    for (int i = 0; !stop.load(); ++i) {
      EXPECT_THAT(own.Publish("ann", "hiking", std::to_string(i)), Succeeds());
    }
  });
  size_t leaves = 0;
  for (int round = 0; round < 20; ++round) {
    const size_t before = watcher.events().size();
    ASSERT_TRUE(watcher.Await([&](const Events& events) { return events.size() > before + 5; }));
    ASSERT_THAT(client_.Remove("ann", "hiking", {"bob"}), Succeeds());
    ASSERT_THAT(client_.Add("ann", "hiking", {"bob"}), Succeeds());
  }
  stop.store(true);
  poster.join();
  ASSERT_TRUE(watcher.Await([](const Events& events) {
    return std::ranges::count(WordsOf(events), "out hiking") == 20;
  }));
  bool is_member = true;
  for (const v1::WatchEvent& event : watcher.events()) {
    if (event.has_left_group()) {
      is_member = false;
      ++leaves;
    } else if (event.has_joined_group()) {
      is_member = true;
    } else {
      EXPECT_TRUE(is_member) << event.ShortDebugString();
    }
  }
  EXPECT_EQ(leaves, 20u);
}

TEST_F(KlatchdWatchTest, QueuedUpdatesAreNotSentOnceTheReaderWasRemoved) {
  Watcher watcher(klatchd_.Channel(), Watching("bob"), Watcher::Begin::kHeldBack);
  ASSERT_TRUE(Eventually([&] {
    return klatchd_.Get("/metrics").second.find("klatch_watched_persons 1") != std::string::npos;
  }));
  ASSERT_NO_FATAL_FAILURE(Flood(client_, 15));
  ASSERT_THAT(client_.Remove("ann", "hiking", {"bob"}), Succeeds());
  watcher.Read();
  ASSERT_TRUE(watcher.Await([](const Events& events) {
    return !events.empty() && WordOf(events.back()) == "out hiking";
  }));
  // What gRPC had taken before comes; it takes no more than a few messages of 1 MiB.
  EXPECT_LT(watcher.events().size(), 1'000u);
}

TEST_F(KlatchdWatchTest, SlowReaderIsToldOfTheGap) {
  Watcher watcher(klatchd_.Channel(), Watching("bob"), Watcher::Begin::kHeldBack);
  ASSERT_NO_FATAL_FAILURE(Flood(client_, 5));
  // More than an outbox holds.
  ASSERT_NO_FATAL_FAILURE(PostHundreds(client_, 44, "more"));
  const auto last = client_.Publish("ann", "hiking", "the last");
  // What reached the outbox is known when a removal's barrier, which passes the live thread, is
  // over.
  ASSERT_THAT(client_.AddApplied("ann", "hiking", {"zoe"}), Succeeds());
  ASSERT_THAT(client_.Remove("ann", "hiking", {"zoe"}), Succeeds());
  watcher.Read();
  ASSERT_TRUE(watcher.Await([&](const Events& events) {
    return !events.empty() && events.back().published().id() == last->update_id();
  }));
  EXPECT_THAT(WordsOf(watcher.events()), Contains("gap GAP_REASON_SLOW_READER"));
  EXPECT_THAT(klatchd_.Get("/metrics").second,
              ::testing::HasSubstr("klatch_watch_gaps_total{reason=\"slow_reader\"} 1"));
}

// Ids in the order in which they were shown.
void AddPublished(const Events& events, std::vector<uint64_t>& ids) {
  for (const v1::WatchEvent& event : events) {
    EXPECT_TRUE(event.has_published()) << event.ShortDebugString();
    ids.push_back(event.published().id());
  }
}

TEST_F(KlatchdWatchTest, WatchThatBreaksOffAgainAndAgainShowsEachUpdateOnce) {
  constexpr int kPosts = 3'000;
  ASSERT_THAT(client_.CreateGroup("ann", "chess"), Succeeds());
  ASSERT_THAT(client_.AddApplied("ann", "chess", {"bob"}), Succeeds());
  std::string token = PageOf("bob").watch_token();
  std::vector<uint64_t> posted;
  std::thread poster([&] {
    Client own(klatchd_.Channel());
    for (int i = 0; i < kPosts; ++i) {
      const auto answer = own.Publish("ann", i % 3 == 0 ? "chess" : "hiking", std::to_string(i));
      posted.push_back(answer->update_id());
    }
  });
  const uint64_t seed = stress::PrintedSeed();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  std::vector<uint64_t> shown;
  int resumes = 0;
  while (shown.size() < kPosts) {
    Watcher watcher(klatchd_.Channel(), "bob", token);
    const size_t wanted = std::min<size_t>(random() % 100, kPosts - shown.size());
    ASSERT_TRUE(watcher.AwaitToken(wanted)) << shown.size();
    watcher.Cancel();
    AddPublished(watcher.committed(), shown);
    token = watcher.token().empty() ? token : watcher.token();
    ++resumes;
  }
  poster.join();
  EXPECT_GT(resumes, 20);
  EXPECT_EQ(shown.size(), posted.size());
  EXPECT_THAT(std::set<uint64_t>(shown.begin(), shown.end()).size(), shown.size());
  EXPECT_THAT(shown, UnorderedElementsAreArray(posted));
}

TEST_F(KlatchdWatchTest, WatchGoesOnAfterTheNodeWasKilled) {
  const std::string first = PageOf("bob").watch_token();
  std::string token;
  {
    Watcher watcher(klatchd_.Channel(), "bob", first);
    ASSERT_THAT(client_.Publish("ann", "hiking", "before"), Succeeds());
    ASSERT_TRUE(watcher.AwaitWords({"+before"}));
    ASSERT_TRUE(watcher.AwaitToken(1));
    token = watcher.token();
  }
  const auto missed = client_.Publish("ann", "hiking", "missed");
  ASSERT_THAT(client_.Edit("ann", missed->update_id(), "missed, edited"), Succeeds());
  klatchd_.Kill();
  klatchd_.Start();
  Watcher watcher(klatchd_.Channel(), "bob", token);
  Client again(klatchd_.Channel());
  ASSERT_THAT(again.Publish("ann", "hiking", "after"), Succeeds());
  ASSERT_TRUE(watcher.Await(
      [](const Events& events) { return !events.empty() && WordOf(events.back()) == "+after"; }));
  std::vector<std::string> words = WordsOf(watcher.events());
  // The replay may reach back behind the token or not: then a gap says so.
  std::erase(words, "gap GAP_REASON_TOKEN_TOO_OLD");
  EXPECT_THAT(words, ElementsAre("+missed, edited", "+after"));
}

TEST_F(KlatchdWatchTest, DrainEndsWatchesAtOnce) {
  Watcher watcher(klatchd_.Channel(), "bob");
  Watcher stuck(klatchd_.Channel(), Watching("bob"), Watcher::Begin::kHeldBack);
  Gateway gateway(klatchd_.Channel());
  gateway.Watch({"ann", "bob"});
  ASSERT_TRUE(watcher.AwaitBegun());
  ASSERT_TRUE(gateway.AwaitAnswers(1));
  ASSERT_NO_FATAL_FAILURE(Flood(client_, 5));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(klatchd_.Terminate(), 0) << klatchd_.process().errors();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5))
      << klatchd_.process().errors();
  ASSERT_TRUE(watcher.AwaitEnd());
  ASSERT_TRUE(gateway.AwaitEnd());
  for (const grpc::Status& status : {watcher.status(), gateway.status()}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
    EXPECT_THAT(status.error_details(), ::testing::HasSubstr("STOPPING"));
  }
}

class KlatchdGatewayTest : public KlatchdWatchTest {
 protected:
  static std::vector<std::string> Crowd(int count) {
    std::vector<std::string> persons;
    for (int i = 0; i < count; ++i) {
      persons.push_back("p" + std::to_string(i));
    }
    return persons;
  }
  static std::vector<std::string> PersonsOf(const v1::WatchEvent& event) {
    return {event.persons().begin(), event.persons().end()};
  }
};

TEST_F(KlatchdGatewayTest, EachUpdateComesOnceWithAllItsRecipients) {
  const std::vector<std::string> crowd = Crowd(1'000);
  const std::vector<std::string> half(crowd.begin(), crowd.begin() + 500);
  ASSERT_THAT(client_.AddApplied("ann", "hiking", crowd), Succeeds());
  ASSERT_THAT(client_.CreateGroup("ann", "chess"), Succeeds());
  ASSERT_THAT(client_.AddApplied("ann", "chess", half), Succeeds());
  Gateway gateway(klatchd_.Channel());
  gateway.Watch(crowd);
  ASSERT_TRUE(gateway.AwaitAnswers(1));
  EXPECT_EQ(gateway.answers()[0].persons(), 1'000u);
  for (int i = 0; i < 50; ++i) {
    ASSERT_THAT(client_.Publish("ann", i % 2 == 0 ? "hiking" : "chess", std::to_string(i)),
                Succeeds());
  }
  ASSERT_TRUE(gateway.AwaitToken(50));
  const Events events = gateway.events();
  ASSERT_EQ(events.size(), 50u);
  for (int i = 0; i < 50; ++i) {
    // Posted one after the other, so shown in this order but for the shards' own pace.
    const bool is_hiking = std::stoi(events[static_cast<size_t>(i)].published().text()) % 2 == 0;
    EXPECT_THAT(PersonsOf(events[static_cast<size_t>(i)]),
                UnorderedElementsAreArray(is_hiking ? crowd : half));
  }
}

TEST_F(KlatchdGatewayTest, ResumedStreamShowsEachMissedUpdateOnce) {
  const std::vector<std::string> crowd = Crowd(1'000);
  ASSERT_THAT(client_.AddApplied("ann", "hiking", crowd), Succeeds());
  std::string token;
  {
    Gateway gateway(klatchd_.Channel());
    gateway.Watch(crowd);
    ASSERT_TRUE(gateway.AwaitAnswers(1));
    ASSERT_THAT(client_.Publish("ann", "hiking", "seen"), Succeeds());
    ASSERT_TRUE(gateway.AwaitToken(1));
    token = gateway.token();
  }
  for (int i = 0; i < 20; ++i) {
    ASSERT_THAT(client_.Publish("ann", "hiking", std::to_string(i)), Succeeds());
  }
  Gateway gateway(klatchd_.Channel());
  gateway.Watch(crowd, token);
  ASSERT_TRUE(gateway.AwaitToken(20));
  const Events events = gateway.events();
  ASSERT_EQ(events.size(), 20u);
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(events[i].published().text(), std::to_string(i));
    EXPECT_THAT(PersonsOf(events[i]), UnorderedElementsAreArray(crowd));
  }
}

TEST_F(KlatchdGatewayTest, PersonsComeAndGoOnAStream) {
  Gateway gateway(klatchd_.Channel());
  gateway.Watch({"bob", "bob", "zoe"});
  ASSERT_TRUE(gateway.AwaitAnswers(1));
  EXPECT_EQ(gateway.answers()[0].persons(), 2u);
  ASSERT_EQ(gateway.answers()[0].refused_size(), 1);
  EXPECT_EQ(gateway.answers()[0].refused(0).person(), "bob");
  EXPECT_EQ(gateway.answers()[0].refused(0).error().code(), grpc::StatusCode::ALREADY_EXISTS);
  ASSERT_THAT(client_.Publish("ann", "hiking", "one"), Succeeds());
  ASSERT_TRUE(gateway.AwaitWords({"+one"}));
  gateway.Unwatch({"bob", "nobody"});
  gateway.Watch({"ann"});
  ASSERT_TRUE(gateway.AwaitAnswers(2));
  ASSERT_THAT(client_.Publish("ann", "hiking", "two"), Succeeds());
  ASSERT_TRUE(gateway.AwaitWords({"+one", "+two"}));
  EXPECT_THAT(PersonsOf(gateway.events()[0]), ElementsAre("bob"));
  EXPECT_THAT(PersonsOf(gateway.events()[1]), ElementsAre("ann"));
}

TEST_F(KlatchdGatewayTest, MoreAtOnceThanTheLiveThreadTakesIsAGapBehindWhichAllIsWhole) {
  Klatchd klatchd({.arguments = {"--workers", "1"}});
  Client client(klatchd.Channel());
  // More than a worker can tell of at once, and less than three streams may watch.
  constexpr size_t kEach = 90'000;
  static_assert(3 * kEach > limits::kWatchItemsMax && kEach <= limits::kWatchPersonsPerStreamMax);
  const std::vector<std::string> crowd = Crowd(3 * kEach);
  ASSERT_THAT(client.CreateGroup("ann", "everybody"), Succeeds());
  for (auto part = crowd.begin(); part != crowd.end(); part += 10'000) {
    ASSERT_THAT(client.Add("ann", "everybody", {part, part + 10'000}), Succeeds());
  }
  ASSERT_THAT(client.CreateGroup("ann", "chess"), Succeeds());
  ASSERT_THAT(client.Add("ann", "chess", {"p7"}), Succeeds());
  Gateway gateway(klatchd.Channel());
  Gateway second(klatchd.Channel());
  Gateway third(klatchd.Channel());
  auto part = crowd.begin();
  for (Gateway* watching : {&gateway, &second, &third}) {
    watching->Watch({part, part + kEach});
    ASSERT_TRUE(watching->AwaitAnswers(1));
    part += kEach;
  }
  ASSERT_THAT(client.Publish("ann", "everybody", "to all"), Succeeds());
  ASSERT_TRUE(gateway.Await([](const Events& events) {
    return !events.empty() && WordOf(events.back()) == "gap GAP_REASON_NODE_BEHIND";
  }));
  ASSERT_THAT(client.Publish("ann", "chess", "your move"), Succeeds());
  ASSERT_TRUE(
      gateway.Await([](const Events& events) { return WordOf(events.back()) == "+your move"; }));
  EXPECT_THAT(PersonsOf(gateway.events().back()), ElementsAre("p7"));
  EXPECT_THAT(WordsOf(gateway.events()), Not(Contains("+to all")));
  ASSERT_TRUE(gateway.AwaitToken(2));
}

TEST_F(KlatchdGatewayTest, GapSaysSinceWhenUpdatesAreMissing) {
  Klatchd klatchd({.arguments = {"--workers", "1", "--shards", "1"}});
  Client client(klatchd.Channel());
  const std::vector<std::string> crowd = Crowd(20'000);
  ASSERT_THAT(client.CreateGroup("ann", "everybody"), Succeeds());
  ASSERT_THAT(client.Add("ann", "everybody", {crowd.begin(), crowd.begin() + 10'000}), Succeeds());
  ASSERT_THAT(client.Add("ann", "everybody", {crowd.begin() + 10'000, crowd.end()}), Succeeds());
  Gateway gateway(klatchd.Channel());
  gateway.Watch(crowd);
  ASSERT_TRUE(gateway.AwaitAnswers(1));
  v1::BatchPublishUpdatesRequest request;
  for (int i = 0; i < 50; ++i) {
    *request.add_requests() = Client::Post("ann", "everybody", "to all");
  }
  const auto posted = client.Feed(&v1::FeedService::Stub::BatchPublishUpdates, request);
  ASSERT_THAT(posted, Succeeds());
  ASSERT_TRUE(gateway.Await([](const Events& events) {
    return std::ranges::any_of(events, [](const auto& event) { return event.has_gap(); });
  }));
  std::set<uint64_t> missing;
  for (const v1::BatchPublishResult& result : posted->results()) {
    missing.insert(result.published().update_id());
  }
  for (const v1::WatchEvent& event : gateway.events()) {
    if (event.has_gap()) {
      const auto& since = event.gap().since();
      ASSERT_FALSE(missing.empty());
      EXPECT_LE(since.seconds() * 1'000 + since.nanos() / 1'000'000,
                Position(*missing.begin()).unix_ms());
      break;
    }
    missing.erase(event.published().id());
  }
}

TEST_F(KlatchdGatewayTest, CancelledStreamGivesEverythingBack) {
  const auto watched = [this] { return klatchd_.Get("/metrics").second; };
  {
    Gateway gateway(klatchd_.Channel());
    gateway.Watch(Crowd(100));
    ASSERT_TRUE(gateway.AwaitAnswers(1));
    EXPECT_THAT(watched(), ::testing::HasSubstr("klatch_watched_persons 100\n"));
  }
  EXPECT_TRUE(Eventually([&] {
    const std::string metrics = watched();
    return metrics.find("klatch_watched_persons 0\n") != std::string::npos &&
           metrics.find("klatch_watches 0\n") != std::string::npos &&
           metrics.find("klatch_calls_under_way 0\n") != std::string::npos;
  }));
}

}  // namespace
}  // namespace klatch::testing
