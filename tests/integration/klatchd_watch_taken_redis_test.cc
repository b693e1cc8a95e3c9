// Open watches of who blocks, mutes and hides: once the call has returned nothing of it is shown,
// also to a reader who was held back while it waited.

#include <gmock/gmock.h>

#include "tests/integration/klatchd_watch_client.h"

namespace klatch::testing {
namespace {

using ::testing::Contains;
using ::testing::Not;
using PersonStub = v1::PersonService::Stub;

// "ann", "bob" and "cid" are in hiking, and the last two in chess.
class KlatchdWatchTakenTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_THAT(client_.CreateGroup("ann", "hiking"), Succeeds());
    ASSERT_THAT(client_.AddApplied("ann", "hiking", {"bob", "cid"}), Succeeds());
    ASSERT_THAT(client_.CreateGroup("cid", "chess"), Succeeds());
    ASSERT_THAT(client_.AddApplied("cid", "chess", {"bob"}), Succeeds());
  }

  template <typename Request, typename Response>
  Answer<Response> OfPerson(grpc::Status (PersonStub::*method)(grpc::ClientContext*, const Request&,
                                                               Response*),
                            const std::string& actor, const std::string& person) {
    Request request;
    request.set_actor(actor);
    request.set_person(person);
    return client_.Persons(method, request);
  }

  // What bob, who didn't read, is shown of 1,500 posts of ann's and then "the last", which `take`
  // takes away, and of a post in chess after it.
  template <typename Take>
  Events ShownAfter(Take take) {
    Watcher watcher(klatchd_.Channel(), Watching("bob"), Watcher::Begin::kHeldBack);
    EXPECT_TRUE(Eventually([&] {
      return klatchd_.Get("/metrics").second.find("klatch_watched_persons 1\n") !=
             std::string::npos;
    }));
    Flood(client_, 15);
    const auto last = client_.Publish("ann", "hiking", "the last");
    EXPECT_EQ(client_.Home("bob", last->tokens())->updates(0).id(), last->update_id());
    take(last->update_id());
    EXPECT_THAT(client_.Publish("cid", "chess", "mark"), Succeeds());
    watcher.Read();
    EXPECT_TRUE(watcher.Await(
        [](const Events& events) { return !events.empty() && WordOf(events.back()) == "+mark"; }));
    return watcher.events();
  }
  // Of all that ann posted only what gRPC had taken before: a few messages of 1 MiB.
  static void ExpectAnnIsGone(const Events& events) {
    EXPECT_LT(events.size(), 1'000u);
    EXPECT_THAT(WordsOf(events), Not(Contains("+the last")));
  }

  Klatchd klatchd_{Klatchd::Options{.arguments = {"--shards", "4", "--partitions", "4", "--workers",
                                                  "2", "--watch-stall-max", "10m"}}};
  Client client_{klatchd_.Channel()};
};

TEST_F(KlatchdWatchTakenTest, QueuedUpdatesAreNotSentOnceTheirAuthorIsBlocked) {
  ExpectAnnIsGone(ShownAfter([&](uint64_t) {
    ASSERT_THAT(OfPerson(&PersonStub::BlockPerson, "bob", "ann"), Succeeds());
  }));
}

TEST_F(KlatchdWatchTakenTest, QueuedUpdatesAreNotSentOnceTheirAuthorHasBlockedTheReader) {
  ExpectAnnIsGone(ShownAfter([&](uint64_t) {
    ASSERT_THAT(OfPerson(&PersonStub::BlockPerson, "ann", "bob"), Succeeds());
  }));
}

TEST_F(KlatchdWatchTakenTest, QueuedUpdatesAreNotSentOnceTheirAuthorIsMuted) {
  ExpectAnnIsGone(ShownAfter(
      [&](uint64_t) { ASSERT_THAT(OfPerson(&PersonStub::MutePerson, "bob", "ann"), Succeeds()); }));
}

TEST_F(KlatchdWatchTakenTest, QueuedUpdatesAreNotSentOnceTheirGroupIsMuted) {
  ExpectAnnIsGone(ShownAfter([&](uint64_t) {
    v1::MuteGroupRequest request;
    request.set_actor("bob");
    request.set_group("hiking");
    ASSERT_THAT(client_.Persons(&PersonStub::MuteGroup, request), Succeeds());
  }));
}

TEST_F(KlatchdWatchTakenTest, QueuedUpdateIsNotSentOnceItIsHiddenAndAllOthersAre) {
  const Events events = ShownAfter([&](uint64_t last) {
    v1::HideUpdateRequest request;
    request.set_actor("bob");
    request.set_update_id(last);
    ASSERT_THAT(client_.Persons(&PersonStub::HideUpdate, request), Succeeds());
  });
  EXPECT_EQ(events.size(), 1'501u);
  EXPECT_THAT(WordsOf(events), Not(Contains("+the last")));
}

TEST_F(KlatchdWatchTakenTest, NothingOfWhoIsBlockedIsShownUntilTheyAreUnblocked) {
  Watcher watcher(klatchd_.Channel(), "bob");
  ASSERT_TRUE(watcher.AwaitBegun());
  ASSERT_THAT(client_.Publish("ann", "hiking", "before"), Succeeds());
  ASSERT_TRUE(watcher.AwaitWords({"+before"}));
  ASSERT_THAT(OfPerson(&PersonStub::BlockPerson, "bob", "ann"), Succeeds());
  ASSERT_THAT(client_.Publish("ann", "hiking", "blocked"), Succeeds());
  // Behind it in the log of the same group: when this is shown, that was judged.
  ASSERT_THAT(client_.Publish("cid", "hiking", "mark"), Succeeds());
  ASSERT_TRUE(watcher.AwaitWords({"+before", "+mark"}));
  ASSERT_THAT(OfPerson(&PersonStub::UnblockPerson, "bob", "ann"), Succeeds());
  ASSERT_THAT(client_.Publish("ann", "hiking", "again"), Succeeds());
  EXPECT_TRUE(watcher.AwaitWords({"+before", "+mark", "+again"}));
}

}  // namespace
}  // namespace klatch::testing
