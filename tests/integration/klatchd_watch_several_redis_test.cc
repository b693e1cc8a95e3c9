// Watches where posts to several groups and personal state meet them: once, through the groups that
// the watcher sees, and nothing that was blocked or muted.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <thread>

#include "tests/integration/klatchd_watch_client.h"

namespace klatch::testing {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;
using ::testing::UnorderedElementsAreArray;

class KlatchdWatchSeveralTest : public ::testing::Test {
 protected:
  // bob is in both groups, cid in chess only.
  void SetUp() override {
    for (const char* group : {"hiking", "chess"}) {
      ASSERT_THAT(client_.CreateGroup("ann", group), Succeeds());
      ASSERT_THAT(client_.AddApplied("ann", group, {"bob"}), Succeeds());
    }
    ASSERT_THAT(client_.AddApplied("ann", "chess", {"cid"}), Succeeds());
  }

  Answer<v1::PublishUpdateResponse> PostToBoth(const std::string& text) {
    auto request = Client::Post("ann", "hiking", text);
    request.mutable_update()->add_groups("chess");
    return client_.Publish(request);
  }
  // Full batches at the same time: all that is in one of them is carried to a group at once.
  void PostBatchesToBoth() {
    std::vector<std::thread> batches;
    for (size_t batch = 0; batch < kBatches; ++batch) {
      batches.emplace_back([this, batch] {
        v1::BatchPublishUpdatesRequest request;
        for (size_t i = 0; i < kBatchSize; ++i) {
          v1::PublishUpdateRequest& post = *request.add_requests();
          post = Client::Post("ann", "hiking", fmt::format("{} of batch {}", i, batch));
          post.mutable_update()->add_groups("chess");
        }
        const auto answer = client_.Feed(&v1::FeedService::Stub::BatchPublishUpdates, request);
        ASSERT_THAT(answer, Succeeds());
        for (const v1::BatchPublishResult& result : answer->results()) {
          EXPECT_TRUE(result.has_published()) << result.ShortDebugString();
        }
      });
    }
    for (std::thread& batch : batches) {
      batch.join();
    }
  }
  static auto EachOfTheBatchesOnceAndTheMark() {
    std::vector<std::string> words{"+mark"};
    for (size_t batch = 0; batch < kBatches; ++batch) {
      for (size_t i = 0; i < kBatchSize; ++i) {
        words.push_back(fmt::format("+{} of batch {}", i, batch));
      }
    }
    return UnorderedElementsAreArray(words);
  }
  // Shown last: what stands before it is all that was shown.
  // Resumes sort by id, which tells logs apart to the millisecond only: this one is later than all before.
  void Mark() {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    ASSERT_THAT(client_.Publish("ann", "chess", "mark"), Succeeds());
  }
  static std::vector<std::string> WordsUntilMark(Watcher& watcher) {
    EXPECT_TRUE(watcher.Await(
        [](const Events& events) { return !events.empty() && WordOf(events.back()) == "+mark"; }));
    return WordsOf(watcher.events());
  }

  static constexpr size_t kBatches = 4;
  static constexpr size_t kBatchSize = 100;
  Klatchd klatchd_{{.arguments = {"--shards", "4", "--partitions", "4", "--workers", "2"}}};
  Client client_{klatchd_.Channel()};
};

TEST_F(KlatchdWatchSeveralTest, ShowsAnUpdateOnceThroughTheWatchersGroups) {
  Watcher bob(klatchd_.Channel(), "bob");
  Watcher cid(klatchd_.Channel(), "cid");
  ASSERT_TRUE(bob.AwaitBegun());
  ASSERT_TRUE(cid.AwaitBegun());
  for (int i = 0; i < 20; ++i) {
    ASSERT_THAT(PostToBoth("both"), Succeeds());
  }
  Mark();
  std::vector<std::string> words(20, "+both");
  words.emplace_back("+mark");
  EXPECT_EQ(WordsUntilMark(bob), words);
  EXPECT_EQ(WordsUntilMark(cid), words);
  EXPECT_THAT(cid.events()[0].published().groups(), ElementsAre("chess"));
}

TEST_F(KlatchdWatchSeveralTest, EditsAndDeletionsAreToldOnceToAllOfItsGroups) {
  const auto posted = PostToBoth("both");
  ASSERT_THAT(posted, Succeeds());
  const auto token = client_.Home("bob", posted->tokens())->watch_token();
  Watcher bob(klatchd_.Channel(), "bob", token);
  Watcher cid(klatchd_.Channel(), "cid");
  ASSERT_TRUE(bob.AwaitBegun());
  ASSERT_TRUE(cid.AwaitBegun());
  ASSERT_THAT(client_.Edit("ann", posted->update_id(), "edited"), Succeeds());
  Mark();
  EXPECT_THAT(WordsUntilMark(bob), ElementsAre("~edited", "+mark"));
  EXPECT_THAT(WordsUntilMark(cid), ElementsAre("~edited", "+mark"));
  ASSERT_THAT(client_.Delete("ann", posted->update_id()), Succeeds());
  ASSERT_THAT(client_.Publish("ann", "chess", "end"), Succeeds());
  EXPECT_TRUE(bob.AwaitWords({"~edited", "+mark", "-", "+end"}));
  EXPECT_TRUE(cid.AwaitWords({"~edited", "+mark", "-", "+end"}));
}

TEST_F(KlatchdWatchSeveralTest, WhatAModeratorTakesOutIsGoneForThoseWhoSawItThereOnly) {
  ASSERT_THAT(client_.Add("ann", "chess", {"mod"}, v1::ROLE_MODERATOR), Succeeds());
  const auto posted = PostToBoth("both");
  ASSERT_THAT(posted, Succeeds());
  ASSERT_THAT(client_.Home("bob", posted->tokens()), Succeeds());
  Watcher bob(klatchd_.Channel(), "bob");
  Watcher cid(klatchd_.Channel(), "cid");
  ASSERT_TRUE(bob.AwaitBegun());
  ASSERT_TRUE(cid.AwaitBegun());
  ASSERT_THAT(client_.Delete("mod", posted->update_id()), Succeeds());
  Mark();
  EXPECT_THAT(WordsUntilMark(cid), ElementsAre("-", "+mark"));
  ASSERT_THAT(WordsUntilMark(bob), ElementsAre("~both", "+mark"));
  EXPECT_THAT(bob.events()[0].edited().groups(), ElementsAre("hiking"));
}

TEST_F(KlatchdWatchSeveralTest, WhatAModeratorTakesOutOfAllOfAWatchersGroupsIsDeletedOnce) {
  for (const char* group : {"hiking", "chess"}) {
    ASSERT_THAT(client_.Add("ann", group, {"mod"}, v1::ROLE_MODERATOR), Succeeds());
  }
  // The record of one group may come a round before the other's: then there is an edit between.
  for (int i = 0; i < 10; ++i) {
    const auto posted = PostToBoth("both");
    ASSERT_THAT(posted, Succeeds());
    ASSERT_THAT(client_.Home("bob", posted->tokens()), Succeeds());
    Watcher bob(klatchd_.Channel(), "bob");
    ASSERT_TRUE(bob.AwaitBegun());
    ASSERT_THAT(client_.Delete("mod", posted->update_id()), Succeeds());
    Mark();
    EXPECT_THAT(WordsUntilMark(bob),
                AnyOf(ElementsAre("-", "+mark"), ElementsAre("~both", "-", "+mark")));
  }
}

TEST_F(KlatchdWatchSeveralTest, WhatAModeratorTakesOutOfTwoGroupsIsLeftInTheThird) {
  ASSERT_THAT(client_.CreateGroup("ann", "rowing"), Succeeds());
  ASSERT_THAT(client_.AddApplied("ann", "rowing", {"bob"}), Succeeds());
  for (const char* group : {"hiking", "chess"}) {
    ASSERT_THAT(client_.Add("ann", group, {"mod"}, v1::ROLE_MODERATOR), Succeeds());
  }
  for (int i = 0; i < 10; ++i) {
    auto request = Client::Post("ann", "hiking", "three");
    request.mutable_update()->add_groups("chess");
    request.mutable_update()->add_groups("rowing");
    const auto posted = client_.Publish(request);
    ASSERT_THAT(posted, Succeeds());
    ASSERT_THAT(client_.Home("bob", posted->tokens()), Succeeds());
    Watcher bob(klatchd_.Channel(), "bob");
    ASSERT_TRUE(bob.AwaitBegun());
    ASSERT_THAT(client_.Delete("mod", posted->update_id()), Succeeds());
    Mark();
    const std::vector<std::string> words = WordsUntilMark(bob);
    EXPECT_THAT(words,
                AnyOf(ElementsAre("~three", "+mark"), ElementsAre("~three", "~three", "+mark")));
    // Of two edits the last one stands.
    EXPECT_THAT(bob.events()[words.size() - 2].edited().groups(), ElementsAre("rowing"));
  }
}

TEST_F(KlatchdWatchSeveralTest, ResumedWatchShowsWhatCameToItsGroupsMeanwhile) {
  const auto before = PostToBoth("before");
  ASSERT_THAT(before, Succeeds());
  const auto token = client_.Home("bob", before->tokens())->watch_token();
  std::vector<std::string> words;
  for (int i = 0; i < 10; ++i) {
    const std::string text = "missed " + std::to_string(i);
    ASSERT_THAT(PostToBoth(text), Succeeds());
    words.push_back("+" + text);
  }
  Mark();
  words.emplace_back("+mark");
  Watcher bob(klatchd_.Channel(), "bob", token);
  EXPECT_EQ(WordsUntilMark(bob), words);
}

TEST_F(KlatchdWatchSeveralTest, ResumedWatchShowsEachOfManyOnceThatCameAtTheSameTime) {
  const auto before = PostToBoth("before");
  ASSERT_THAT(before, Succeeds());
  const auto token = client_.Home("bob", before->tokens())->watch_token();
  PostBatchesToBoth();
  Mark();
  Watcher bob(klatchd_.Channel(), "bob", token);
  EXPECT_THAT(WordsUntilMark(bob), EachOfTheBatchesOnceAndTheMark());
}

TEST_F(KlatchdWatchSeveralTest, ShowsEachOfManyOnceThatComeAtTheSameTime) {
  Watcher bob(klatchd_.Channel(), "bob");
  ASSERT_TRUE(bob.AwaitBegun());
  PostBatchesToBoth();
  Mark();
  EXPECT_THAT(WordsUntilMark(bob), EachOfTheBatchesOnceAndTheMark());
}

TEST_F(KlatchdWatchSeveralTest, GatewayIsToldByGroupsWhoSeesAnUpdateThroughThem) {
  Gateway gateway(klatchd_.Channel());
  gateway.Watch({"bob", "cid"});
  ASSERT_TRUE(gateway.AwaitAnswers(1));
  const auto posted = PostToBoth("both");
  ASSERT_THAT(posted, Succeeds());
  Mark();
  ASSERT_TRUE(gateway.Await(
      [](const Events& events) { return !events.empty() && WordOf(events.back()) == "+mark"; }));
  std::vector<std::string> persons;
  for (const v1::WatchEvent& event : gateway.events()) {
    if (event.published().id() == posted->update_id()) {
      for (const std::string& person : event.persons()) {
        persons.push_back(person);
        const auto& groups = event.published().groups();
        EXPECT_TRUE(std::ranges::count(groups, "hiking") == 0 || person == "bob");
      }
    }
  }
  EXPECT_THAT(persons, UnorderedElementsAre("bob", "cid"));
}

TEST_F(KlatchdWatchSeveralTest, GatewayThatResumesIsToldOfADeletionForTheMembersOfEachGroup) {
  ASSERT_THAT(client_.AddApplied("ann", "hiking", {"dia"}), Succeeds());
  const auto posted = PostToBoth("both");
  ASSERT_THAT(posted, Succeeds());
  ASSERT_THAT(client_.Home("cid", posted->tokens()), Succeeds());
  std::string token;
  {
    Gateway gateway(klatchd_.Channel());
    gateway.Watch({"cid", "dia"});
    ASSERT_TRUE(gateway.AwaitAnswers(1));
    Mark();
    ASSERT_TRUE(gateway.AwaitToken(1));
    token = gateway.token();
  }
  ASSERT_THAT(client_.Delete("ann", posted->update_id()), Succeeds());
  Gateway resumed(klatchd_.Channel());
  resumed.Watch({"cid", "dia"}, token);
  const auto told = [](const Events& events) {
    std::vector<std::string> persons;
    for (const v1::WatchEvent& event : events) {
      if (WordOf(event) == "-") {
        persons.insert(persons.end(), event.persons().begin(), event.persons().end());
      }
    }
    std::ranges::sort(persons);
    return persons;
  };
  EXPECT_TRUE(resumed.Await([&](const Events& events) {
    return told(events) == std::vector<std::string>{"cid", "dia"};
  })) << ::testing::PrintToString(told(resumed.events()));
}

TEST_F(KlatchdWatchSeveralTest, MutedGroupsShowNothingButLetOthersShowIt) {
  v1::MuteGroupRequest mute;
  mute.set_actor("bob");
  mute.set_group("hiking");
  ASSERT_THAT(client_.Persons(&v1::PersonService::Stub::MuteGroup, mute), Succeeds());
  Watcher bob(klatchd_.Channel(), "bob");
  ASSERT_TRUE(bob.AwaitBegun());
  ASSERT_THAT(client_.Publish("ann", "hiking", "muted"), Succeeds());
  ASSERT_THAT(PostToBoth("both"), Succeeds());
  Mark();
  EXPECT_THAT(WordsUntilMark(bob), ElementsAre("+both", "+mark"));
}

TEST_F(KlatchdWatchSeveralTest, NothingOfABlockedAuthorIsShownFromTheAnswerOn) {
  ASSERT_THAT(client_.Add("ann", "chess", {"dan"}), Succeeds());
  Watcher bob(klatchd_.Channel(), "bob");
  ASSERT_TRUE(bob.AwaitBegun());
  for (int i = 0; i < 50; ++i) {
    ASSERT_THAT(client_.Publish("dan", "chess", "early"), Succeeds());
  }
  v1::BlockPersonRequest block;
  block.set_actor("bob");
  block.set_person("dan");
  ASSERT_THAT(client_.Persons(&v1::PersonService::Stub::BlockPerson, block), Succeeds());
  for (int i = 0; i < 50; ++i) {
    ASSERT_THAT(client_.Publish("dan", "chess", "late"), Succeeds());
  }
  Mark();
  const std::vector<std::string> words = WordsUntilMark(bob);
  EXPECT_EQ(std::ranges::count(words, "+late"), 0);
  EXPECT_EQ(words.back(), "+mark");
}

}  // namespace
}  // namespace klatch::testing
