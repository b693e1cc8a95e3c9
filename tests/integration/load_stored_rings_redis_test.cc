// What klatch-load says of rings in a real Redis that are not what they must be.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "bench/load/oracle/redis_checker.h"
#include "common/base/bytes.h"
#include "services/model/keys.h"
#include "tests/integration/redis_server_fixture.h"

namespace klatch::load {
namespace {

constexpr PersonNumber kAnn = 0;
constexpr PersonNumber kBob = 1;
constexpr PersonNumber kEve = 2;
constexpr GroupNumber kHiking = 0;

class LoadStoredRingsRedisTest : public klatch::testing::RedisTest {
 protected:
  LoadStoredRingsRedisTest()
      : graph_({"ann", "bob", "eve"},
               {{"hiking", kAnn, {kAnn, kBob}}, {"choir", kBob, {kBob, kEve}}}, std::nullopt),
        model_(graph_) {
    for (auto [group, person] : {std::pair(0, kAnn), {0, kBob}, {1, kBob}, {1, kEve}}) {
      history_.turns.push_back(
          {static_cast<GroupNumber>(group), person, 10u + person, Turn::kJoined});
    }
    history_.posts = {{20, 0, kHiking, kAnn}, {21, 1, kHiking, kBob}, {22, 2, kHiking, kAnn}};
    model_.Add(history_);
    model_.SetFloors({15});
    model_.Finish();
    connection_ = Connect();
    Write(keys_.Timeline(PersonId("ann")), {0, 22, 20, 21});
    Write(keys_.Timeline(PersonId("bob")), {20, 21, 22, 0, 0});
    Write(keys_.Posts(PersonId("ann")), {20, 22});
    Write(keys_.Posts(PersonId("bob")), {21, 0});
    Write(keys_.Feed(GroupId("hiking")), {20, 21, 22});
  }

  void Write(const std::string& key, const std::vector<uint64_t>& ids) {
    std::string ring;
    for (uint64_t id : ids) {
      base::AppendLittleEndian<uint64_t>(ring, id);
    }
    ASSERT_TRUE(connection_->Call(redis::Command{"SET", key, ring}).ok());
  }

  void Check() { Check(model_); }
  void Check(const Model& model) { Check(model, {}); }
  void Check(const Model& model, RedisCheckOptions options) {
    RunState state(interrupted_, graph_);
    std::atomic<uint64_t> done{0};
    options.uri = "unix://" + server_.address().socket_path;
    auto result = CheckRedis(graph_, model, options, state, violations_, done);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(done.load(), 8u);
    EXPECT_EQ(result->timelines + result->posts + result->feeds, 8u);
  }

  uint64_t Count(Violation kind) const { return violations_.Count(kind); }

  const std::atomic<bool> interrupted_{false};
  const Keys keys_{Layout()};
  Graph graph_;
  History history_;
  Model model_;
  Violations violations_{graph_};
  std::unique_ptr<redis::Connection> connection_;
};

TEST_F(LoadStoredRingsRedisTest, WhatMustLieThereAndWhatIsOlderThanTheRunIsRight) {
  Write(keys_.Timeline(PersonId("eve")), {14, 0});
  Check();
  EXPECT_EQ(Count(Violation::kLost) + Count(Violation::kDuplicated) + Count(Violation::kLeaked),
            0u);
  EXPECT_EQ(violations_.other_count(), 0u);
}

TEST_F(LoadStoredRingsRedisTest, AnIdThatIsMissingIsLostInEachKindOfRing) {
  Write(keys_.Timeline(PersonId("bob")), {20, 22});
  Write(keys_.Posts(PersonId("ann")), {22});
  Write(keys_.Feed(GroupId("hiking")), {20, 21});
  Check();
  // Pairs: (bob, 21), (ann, 20), and of the feed, whose owner is ann, (ann, 22).
  EXPECT_EQ(Count(Violation::kLost), 3u);
  EXPECT_EQ(Count(Violation::kDuplicated), 0u);
}

TEST_F(LoadStoredRingsRedisTest, AnIdThatLiesThereTwiceIsDuplicatedInEachKindOfRing) {
  Write(keys_.Timeline(PersonId("bob")), {20, 21, 20, 22});
  Write(keys_.Posts(PersonId("ann")), {22, 20, 22});
  Write(keys_.Feed(GroupId("hiking")), {20, 20, 21, 22});
  Check();
  EXPECT_EQ(Count(Violation::kDuplicated), 3u);
  EXPECT_EQ(Count(Violation::kLost), 0u);
}

TEST_F(LoadStoredRingsRedisTest, ACopyThatWasNeverDueIsAFault) {
  Write(keys_.Timeline(PersonId("eve")), {21});
  Check();
  EXPECT_EQ(violations_.other_count(), 1u);
}

TEST_F(LoadStoredRingsRedisTest, ACopyFromBeforeTheyJoinedIsAFault) {
  History history;
  history.turns.push_back({kHiking, kEve, 30, Turn::kJoined});
  Model joined(graph_);
  joined.Add(history_);
  joined.Add(history);
  joined.Finish();
  Write(keys_.Timeline(PersonId("eve")), {21});
  Check(joined);
  EXPECT_EQ(violations_.other_count(), 1u);
}

TEST_F(LoadStoredRingsRedisTest, OfPulledGroupsCopiesMayLackInTimelinesAndNowhereElse) {
  const std::string pulled = keys_.Pulled(Layout().ShardOf(GroupId("hiking")));
  ASSERT_TRUE(connection_->Call(redis::Command{"HSET", pulled, "hiking", "1"}).ok());
  Write(keys_.Timeline(PersonId("bob")), {20});
  Check();
  EXPECT_EQ(Count(Violation::kLost), 0u);
  Write(keys_.Feed(GroupId("hiking")), {20});
  Check();
  EXPECT_EQ(Count(Violation::kLost), 2u);
}

TEST_F(LoadStoredRingsRedisTest, WhereSomebodyIsQuietTimelinesMayLackAnythingButHoldNothingElse) {
  Write(keys_.Timeline(PersonId("bob")), {});
  Write(keys_.Timeline(PersonId("eve")), {21});
  Check(model_, {.somebody_is_quiet = true});
  EXPECT_EQ(Count(Violation::kLost), 0u);
  EXPECT_EQ(violations_.other_count(), 1u);
}

TEST_F(LoadStoredRingsRedisTest, ACopyForEachGroupOfAPostToSeveralIsNoFault) {
  History history;
  history.posts = {{23, 3, kHiking, kBob, false, Fate::kAsPosted, {{kHiking, 24}, {1, 25}}}};
  Model several(graph_);
  several.Add(history_);
  several.Add(history);
  several.SetFloors({15});
  several.Finish();
  Write(keys_.Timeline(PersonId("ann")), {22, 20, 21, 23});
  Write(keys_.Timeline(PersonId("bob")), {20, 21, 22, 23, 23});
  Write(keys_.Timeline(PersonId("eve")), {23});
  Write(keys_.Posts(PersonId("bob")), {21, 23});
  Write(keys_.Feed(GroupId("hiking")), {20, 21, 22, 23});
  Write(keys_.Feed(GroupId("choir")), {23});
  Check(several);
  EXPECT_EQ(Count(Violation::kLost) + Count(Violation::kDuplicated), 0u);
  EXPECT_EQ(violations_.other_count(), 0u);
}

TEST_F(LoadStoredRingsRedisTest, AnIdThatNobodyWasAnsweredWithIsAFault) {
  Write(keys_.Timeline(PersonId("bob")), {20, 23, 22});
  Check();
  EXPECT_EQ(Count(Violation::kLost), 1u);
  EXPECT_EQ(violations_.other_count(), 1u);
}

TEST_F(LoadStoredRingsRedisTest, AHoleIsWaitedForAndNamedWhenTheTimeIsOver) {
  RunState state(interrupted_, graph_);
  const std::string uri = "unix://" + server_.address().socket_path;
  EXPECT_TRUE(WaitNoHoles(uri, state, std::chrono::milliseconds(0)).ok());
  ASSERT_TRUE(
      connection_->Call(redis::Command{"HSET", keys_.Holes(PartitionIndex(3)), "bob", "20"}).ok());
  EXPECT_EQ(WaitNoHoles(uri, state, std::chrono::milliseconds(0)).code(),
            absl::StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace klatch::load
