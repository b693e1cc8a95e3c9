// What a node does before it serves when its logs are not as an earlier node has read them, on real logs and
// without persons; with them it is played by tests/sim and tests/fault.

#include "services/klatchd/recovery.h"
#include "tests/integration/log_fixture.h"

namespace klatch::testing {
namespace {

constexpr uint64_t kNonce = 7;

class KlatchdRecoveryRedisTest : public LogRedisTest {
 protected:
  KlatchdRecoveryRedisTest()
      : log_(server_.address(), {}, layout_, log_clock_),
        trail_(layout_.shard_count),
        groups_(layout_, 1'000) {}

  Position TickIn(ShardIndex shard) {
    const auto tick = Await(appender_->Tick(shard));
    EXPECT_THAT(tick, IsOk());
    return tick.ok() ? tick->position : Position();
  }

  Recovery MakeRecovery() {
    return Recovery({.layout = layout_,
                     .redis = *connection_,
                     .log = log_,
                     .trail = trail_,
                     .groups = groups_,
                     .workers = {},
                     .clock = clock_});
  }

  const ShardIndex shard_{1};
  base::SystemClock clock_;
  RedisLogReader log_;
  LogTrail trail_;
  GroupDirectory groups_;
};

// Redis has lost all that this process had read; another node has gone on, and its checkpoint is there.
TEST_F(KlatchdRecoveryRedisTest, WhatAnotherNodeHasLeftBehindIsToldOnceAndNotMissedForEver) {
  const Position checkpoint = TickIn(shard_);
  trail_.Note(Position(checkpoint.ms() - 1'000, shard_, 0), kNonce);
  std::vector<Position> replay_after(layout_.shard_count);
  replay_after[shard_.value()] = checkpoint;
  Recovery recovery = MakeRecovery();
  ASSERT_TRUE(recovery.FollowTrail().ok());
  const auto has_taken = recovery.FollowCheckpoint(replay_after);
  ASSERT_THAT(has_taken, IsOk());
  EXPECT_FALSE(*has_taken);
  EXPECT_EQ(replay_after[shard_.value()], checkpoint);
  EXPECT_EQ(trail_.gaps(), 1u);
  // A tailer looks for what the trail has, and would end at once.
  EXPECT_TRUE(trail_.Last(shard_).position.is_zero());
}

// Who follows a log from there on looks for what stood at its beginning.
TEST_F(KlatchdRecoveryRedisTest, AnchorIsTheRecordAtTheCheckpointOrTheOldestThatIsLeft) {
  const Position checkpoint = TickIn(shard_);
  std::vector<Position> replay_after(layout_.shard_count);
  replay_after[shard_.value()] = checkpoint;
  Recovery recovery = MakeRecovery();
  ASSERT_THAT(recovery.FollowCheckpoint(replay_after), IsOk());
  EXPECT_EQ(recovery.anchors()[shard_.value()].position, checkpoint);
  EXPECT_EQ(recovery.anchors()[shard_.value()].nonce, AllRecords()[0].record.nonce());
  EXPECT_TRUE(recovery.anchors()[0].position.is_zero());

  const Position left = TickIn(shard_);
  Redis({"XTRIM", Keys(layout_).Log(shard_), "MAXLEN", "1"});
  const auto has_taken = recovery.FollowCheckpoint(replay_after);
  ASSERT_THAT(has_taken, IsOk());
  EXPECT_TRUE(*has_taken);
  EXPECT_LT(replay_after[shard_.value()], left);
  EXPECT_EQ(recovery.anchors()[shard_.value()].position, left);
}

TEST_F(KlatchdRecoveryRedisTest, WhatIsStillThereStaysRemembered) {
  TickIn(shard_);
  const std::vector<LogEntry> entries = AllRecords();
  ASSERT_EQ(entries.size(), 1u);
  trail_.Note(entries[0].position, entries[0].record.nonce());
  std::vector<Position> replay_after(layout_.shard_count);
  replay_after[shard_.value()] = entries[0].position;
  Recovery recovery = MakeRecovery();
  ASSERT_TRUE(recovery.FollowTrail().ok());
  ASSERT_THAT(recovery.FollowCheckpoint(replay_after), IsOk());
  EXPECT_EQ(trail_.gaps() + trail_.forks(), 0u);
  EXPECT_EQ(trail_.Last(shard_).position, entries[0].position);
}

}  // namespace
}  // namespace klatch::testing
