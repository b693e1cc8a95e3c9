// What a tailer makes of logs that somebody cuts off while it follows them, on a real redis-server.

#include <chrono>
#include <vector>

#include "services/deliver/tailer.h"
#include "tests/integration/eventually.h"
#include "tests/integration/log_fixture.h"
#include "tests/unit/manual_clock.h"

namespace klatch::testing {
namespace {

class TailerRedisTest : public LogRedisTest {
 protected:
  TailerRedisTest() : log_(server_.address(), {}, layout_, log_clock_) {}

  // Ticks; the position of the last.
  Position Fill(size_t count) {
    Position last;
    for (size_t i = 0; i < count; ++i) {
      const auto tick = Await(appender_->Tick(shard_));
      EXPECT_THAT(tick, IsOk());
      last = tick.ok() ? tick->position : last;
    }
    return last;
  }
  // Leaves the newest `count` records.
  void CutTo(size_t count) {
    Redis({"XTRIM", Keys(layout_).Log(shard_), "MAXLEN", std::to_string(count)});
  }
  // Behind a record that is there.
  Tailer Begin(Position after) {
    std::vector<Position> positions(layout_.shard_count);
    std::vector<LogMark> anchors(layout_.shard_count);
    positions[shard_.value()] = after;
    anchors[shard_.value()] = {after, 0};
    return Tailer({layout_, log_, trail_, groups_, bodies_, progress_, ring_, clock_}, positions,
                  anchors);
  }
  void PassASecond() { clock_.Advance(std::chrono::seconds(1)); }

  const ShardIndex shard_{1};
  ManualClock clock_;
  RedisLogReader log_;
  LogTrail trail_{layout_.shard_count};
  GroupDirectory groups_{layout_, 10};
  BodyStore bodies_{1 << 20};
  base::Executor executor_{1, "test"};
  Progress progress_{layout_.shard_count, 1, executor_, clock_};
  lockfree::BroadcastRing<Event> ring_{64, 1};
};

TEST_F(TailerRedisTest, WhatItHasReadIsWholeOnceItsAnchorWasSeenBehindIt) {
  const Position first = Fill(1);
  const Position last = Fill(9);
  Tailer tailer = Begin(first);
  EXPECT_EQ(progress_.WholeUpTo(shard_), first);
  EXPECT_EQ(tailer.DoWork(), 9u);
  EXPECT_EQ(progress_.WholeUpTo(shard_), first);
  PassASecond();
  EXPECT_EQ(tailer.DoWork(), 0u);
  EXPECT_EQ(progress_.WholeUpTo(shard_), last);
  // What is passed may go.
  CutTo(1);
  PassASecond();
  EXPECT_EQ(tailer.DoWork(), 0u);
  EXPECT_TRUE(tailer.failure().ok());
}

TEST_F(TailerRedisTest, RecordsThatWereCutOffBeforeTheyWereReadAreMissed) {
  const Position first = Fill(1);
  Fill(4);
  Tailer tailer = Begin(first);
  EXPECT_EQ(tailer.DoWork(), 4u);
  PassASecond();
  EXPECT_EQ(tailer.DoWork(), 0u);
  const Position whole = progress_.WholeUpTo(shard_);
  Fill(5);
  CutTo(1);
  EXPECT_EQ(tailer.DoWork(), 1u) << "it reads on behind the gap";
  PassASecond();
  EXPECT_EQ(tailer.DoWork(), std::nullopt);
  EXPECT_EQ(base::ReasonOf(tailer.failure()), "RELOAD");
  EXPECT_EQ(progress_.WholeUpTo(shard_), whole) << "no checkpoint passes the gap";
}

TEST_F(TailerRedisTest, WhatItReadLastIsWholeWhenItHasStopped) {
  const Position first = Fill(1);
  Tailer tailer = Begin(first);
  tailer.Start();
  const Position last = Fill(3);
  ASSERT_TRUE(Eventually([&] { return tailer.records() == 3; }));
  EXPECT_EQ(progress_.WholeUpTo(shard_), first) << "no second has passed";
  tailer.Stop();
  EXPECT_EQ(progress_.WholeUpTo(shard_), last);
}

// Another node had moved the checkpoint on meanwhile.
TEST_F(TailerRedisTest, WhatWasReadBeforeAndIsPassedMayGo) {
  trail_.Note(Fill(1), 1);
  Fill(3);
  Tailer tailer = Begin(Fill(1));
  CutTo(1);
  EXPECT_EQ(tailer.DoWork(), 0u);
  EXPECT_TRUE(tailer.failure().ok());
}

TEST_F(TailerRedisTest, RecordsThatWereCutOffBeforeItBeganAreMissed) {
  const Position first = Fill(1);
  Fill(5);
  Tailer tailer = Begin(first);
  CutTo(2);
  EXPECT_EQ(tailer.DoWork(), std::nullopt);
  EXPECT_EQ(base::ReasonOf(tailer.failure()), "RELOAD");
}

}  // namespace
}  // namespace klatch::testing
