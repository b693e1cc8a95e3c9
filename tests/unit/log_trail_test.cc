#include "services/log/log_trail.h"

#include <gmock/gmock.h>

namespace klatch {
namespace {

Position At(uint64_t ms, uint32_t shard = 0) { return Position(ms, ShardIndex(shard), 0); }

LogFinding JudgeAt20(LogLook look) { return Judge({At(20), 7}, look); }

TEST(LogTrailTest, RecordThatIsThereWithItsNonceIsWhole) {
  EXPECT_EQ(JudgeAt20({.is_there = true, .nonce = 7, .first = {}, .last = {}}), LogFinding::kWhole);
  EXPECT_EQ(JudgeAt20({.is_there = true, .nonce = 8, .first = {}, .last = {}}),
            LogFinding::kForked);
}

TEST(LogTrailTest, RecordWhoseNonceIsNotKnownIsWholeIfItIsThere) {
  EXPECT_EQ(Judge({At(20), 0}, {.is_there = true, .nonce = 8, .first = {}, .last = {}}),
            LogFinding::kWhole);
}

TEST(LogTrailTest, AbsentRecordWasTrimmedOnlyIfAllThatIsThereIsNewer) {
  EXPECT_EQ(JudgeAt20({.first = At(21), .last = At(30)}), LogFinding::kTrimmed);
  EXPECT_EQ(JudgeAt20({.first = At(10), .last = At(30)}), LogFinding::kForked);
  EXPECT_EQ(JudgeAt20({.first = At(10), .last = At(19)}), LogFinding::kForked);
  EXPECT_EQ(JudgeAt20({}), LogFinding::kForked) << "an empty log keeps its newest record always";
}

TEST(LogTrailTest, RemembersTheLastSecondsOfEachShard) {
  LogTrail trail(2);
  EXPECT_TRUE(trail.Last(ShardIndex(0)).position.is_zero());
  constexpr auto kKeptMs = static_cast<uint64_t>(LogTrail::kKept.count());
  for (const uint64_t ms : {uint64_t{1}, uint64_t{2}, kKeptMs + 1, kKeptMs + 2}) {
    trail.Note(At(ms), ms);
    EXPECT_EQ(trail.Last(ShardIndex(0)).position, At(ms));
  }
  trail.Note(At(5), 99);  // again, by a replay
  trail.Note(At(3, 1), 3);
  ASSERT_EQ(trail.Of(ShardIndex(0)).size(), 3u);
  EXPECT_EQ(trail.Of(ShardIndex(0)).front().position, At(2));
  EXPECT_EQ(trail.Of(ShardIndex(0)).front().nonce, 2u);
  EXPECT_EQ(trail.Of(ShardIndex(1)).size(), 1u);
}

TEST(LogTrailTest, RemembersSoManyAtMostAndTheNewestAlways) {
  LogTrail trail(1);
  for (uint64_t i = 0; i < LogTrail::kMarksMax + 10; ++i) {
    trail.Note(Position(1 + i / 4'096, ShardIndex(0), i % 4'096), i);
  }
  EXPECT_EQ(trail.Of(ShardIndex(0)).size(), LogTrail::kMarksMax);
  EXPECT_EQ(trail.Of(ShardIndex(0)).front().nonce, 10u);
  trail.Note(At(1'000'000'000), 7);
  EXPECT_EQ(trail.Of(ShardIndex(0)).size(), 1u);
}

TEST(LogTrailTest, ForkCountsWhatIsLostAndForgetsTheShard) {
  LogTrail trail(2);
  trail.Note(At(20), 1);
  trail.Note(At(20, 1), 1);
  trail.NoteFork(ShardIndex(0), 12);
  trail.NoteGap(ShardIndex(1));
  EXPECT_EQ(trail.forks(), 1u);
  EXPECT_EQ(trail.lost(), 12u);
  EXPECT_EQ(trail.gaps(), 1u);
  EXPECT_THAT(trail.Of(ShardIndex(0)), ::testing::IsEmpty());
  EXPECT_THAT(trail.Of(ShardIndex(1)), ::testing::IsEmpty());
  trail.Note(At(7), 1);  // older than what is forgotten
  EXPECT_EQ(trail.Last(ShardIndex(0)).position, At(7));
}

}  // namespace
}  // namespace klatch
