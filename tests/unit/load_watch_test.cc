// The oracle of watches and quarrels on histories and notes made by hand: what a watch must show once,
// what a gap excuses, and what nobody may be shown.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/load/oracle/watch_judge.h"
#include "bench/load/plan/quarrels.h"
#include "common/base/hash.h"

namespace klatch::load {
namespace {

using Kind = WatchNote::Kind;

constexpr PersonNumber kAnn = 0;
constexpr PersonNumber kBob = 1;
constexpr GroupNumber kHiking = 0;

class WatchJudgeTest : public testing::Test {
 protected:
  WatchJudgeTest()
      : graph_({"ann", "bob"}, {{"hiking", kAnn, {kAnn, kBob}}}, std::nullopt),
        plan_(graph_, 1, "run"),
        model_(graph_),
        violations_(graph_) {
    Turned(kAnn, 10, Turn::kJoined);
    Turned(kBob, 11, Turn::kJoined);
    log_.persons = {kBob};
  }

  void Turned(PersonNumber person, uint64_t position, Turn turn) {
    history_.turns.push_back({kHiking, person, position, turn});
  }
  void Posted(uint64_t id, Fate fate = Fate::kAsPosted) {
    history_.posts.push_back({id, id, kHiking, kAnn});
    history_.posts.back().fate = fate;
  }
  WatchNote& Showed(uint64_t id, Kind kind = Kind::kPublished) {
    return log_.notes.emplace_back(WatchNote{
        .person = kBob, .kind = kind, .update = id, .text = base::StableHash64(plan_.TextOf(id))});
  }
  WatchResult Judge() {
    model_.Add(history_);
    model_.Finish();
    const WatchJudge judge(graph_, plan_, quarrels_, model_);
    missing_ = judge.CountMissing({log_});
    return judge.Judge({log_}, violations_);
  }
  uint64_t Count(Violation kind) const { return violations_.Count(kind); }

  Graph graph_;
  Plan plan_;
  Quarrels quarrels_;
  Model model_;
  Violations violations_;
  History history_;
  WatchLog log_;
  uint64_t missing_ = 0;
};

TEST_F(WatchJudgeTest, FindsNothingWhereEachUpdateCameOnce) {
  Posted(20);
  Posted(21);
  Showed(20);
  Showed(21);
  const WatchResult result = Judge();
  EXPECT_EQ(result.shown, 2u);
  EXPECT_EQ(missing_, 0u);
  EXPECT_EQ(Count(Violation::kLost) + Count(Violation::kDuplicated) + Count(Violation::kLeaked),
            0u);
  EXPECT_EQ(violations_.other_count(), 0u);
}

TEST_F(WatchJudgeTest, WhatDidNotComeIsLostOnTheStreamThatLackedIt) {
  Posted(20);
  Posted(30);
  log_.resumed_since = 25;
  Judge();
  EXPECT_EQ(missing_, 2u);
  EXPECT_EQ(violations_.Count(Violation::kLost, Surface::kWatch), 1u);
  EXPECT_EQ(violations_.Count(Violation::kLost, Surface::kResumedWatch), 1u);
}

TEST_F(WatchJudgeTest, WhatCameTwiceIsDuplicatedUnlessNoTokenWasBehindTheFirst) {
  Posted(20);
  Posted(21);
  Showed(20).counts = false;
  Showed(20).resumed = true;
  Showed(21);
  Showed(21).resumed = true;
  Judge();
  EXPECT_EQ(violations_.Count(Violation::kDuplicated, Surface::kResumedWatch), 1u);
  EXPECT_EQ(Count(Violation::kDuplicated), 1u);
  EXPECT_EQ(Count(Violation::kLost), 0u);
}

TEST_F(WatchJudgeTest, AGapExcusesWhatThePageBehindItShowsAndNothingElse) {
  Posted(20);
  Posted(30);
  Posted(31);
  Showed(25, Kind::kGap);
  log_.paged = {{kBob, 20}, {kBob, 30}};
  const WatchResult result = Judge();
  // 20 is older than the gap; 31 is not on the page.
  EXPECT_EQ(Count(Violation::kLost), 2u);
  EXPECT_EQ(result.paged, 1u);
}

TEST_F(WatchJudgeTest, AGapExcusesWhatIsOlderThanATrimmedPageBehindIt) {
  Posted(20);
  Posted(26);
  Posted(30);
  Showed(25, Kind::kGap);
  log_.paged = {{kBob, 30}};
  log_.trimmed = {{kBob, 30}};
  Judge();
  // 20 is older than the gap: it was to come.
  EXPECT_EQ(Count(Violation::kLost), 1u);
}

TEST_F(WatchJudgeTest, WhatNobodyWasDueIsALeak) {
  Turned(kBob, 15, Turn::kLeft);
  Posted(20);
  Showed(20);
  Judge();
  EXPECT_EQ(Count(Violation::kLeaked), 1u);
}

TEST_F(WatchJudgeTest, WhatComesBehindTheWordThatTheyLeftIsALeakAndBeforeItIsNot) {
  Posted(20);
  Posted(21);
  Turned(kBob, 25, Turn::kLeft);
  Showed(20);
  Showed(21).after_leaving = true;
  Judge();
  EXPECT_EQ(Count(Violation::kLeaked), 1u);
  // Nor is it lost if it did not come at all.
  EXPECT_EQ(Count(Violation::kLost), 0u);
}

TEST_F(WatchJudgeTest, WhatComesBehindItsDeletionIsALeak) {
  Posted(20, Fate::kDeleted);
  Showed(20);
  Showed(20, Kind::kDeleted);
  Showed(20, Kind::kEdited);
  Judge();
  EXPECT_EQ(Count(Violation::kLeaked), 1u);
}

TEST_F(WatchJudgeTest, WhoeverSawAnUpdateIsToldWhatBecameOfIt) {
  Posted(20, Fate::kDeleted);
  Posted(21, Fate::kEdited);
  Showed(20);
  Showed(21);
  Judge();
  EXPECT_EQ(violations_.other_count(), 2u);
}

TEST_F(WatchJudgeTest, WhatWasPostedWhileItWasUnwantedIsALeakUntilItIsWantedAgain) {
  Posted(20);
  Posted(21);
  const auto wanted_again = std::chrono::steady_clock::now();
  history_.unwanted = {{kBob, 20, wanted_again}, {kBob, 21, wanted_again}};
  Showed(20).arrived = wanted_again - std::chrono::milliseconds(1);
  Showed(21).arrived = wanted_again + std::chrono::milliseconds(1);
  Judge();
  EXPECT_EQ(violations_.Count(Violation::kLeaked, Surface::kWatch), 1u);
  EXPECT_EQ(Count(Violation::kLeaked), 1u);
}

TEST_F(WatchJudgeTest, AnUpdateThatNoAnswerNamedIsALeak) {
  Posted(20);
  Showed(20);
  Showed(99);
  Judge();
  EXPECT_EQ(Count(Violation::kLeaked), 1u);
}

TEST(QuarrelsTest, PeopleQuarrelOnceWithSomebodyOfTheirGroupAndBothStay) {
  std::vector<std::string> persons;
  std::vector<PersonNumber> members;
  for (PersonNumber person = 0; person < 60; ++person) {
    persons.push_back("p" + std::to_string(person));
    members.push_back(person);
  }
  const Graph graph(persons, {{"hiking", 0, members}}, std::nullopt);
  const Plan plan(graph, 1, "run");
  const Quarrels quarrels(graph, plan, 5, 7);
  ASSERT_EQ(quarrels.all().size(), 5u);
  std::vector<PersonNumber> all;
  for (const Quarrel& quarrel : quarrels.all()) {
    EXPECT_FALSE(plan.MayLeave(quarrel.group, quarrel.person));
    EXPECT_FALSE(plan.MayLeave(quarrel.group, quarrel.opponent));
    EXPECT_TRUE(quarrels.Concerns(quarrel.person, quarrel.opponent, quarrel.group));
    all.insert(all.end(), {quarrel.person, quarrel.opponent});
  }
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::unique(all.begin(), all.end()), all.end());
  // More of them begin with the same ones, so that a run finds what a killed one has left.
  EXPECT_EQ(Quarrels(graph, plan, 8, 7).all().front().person, quarrels.all().front().person);
}

}  // namespace
}  // namespace klatch::load
