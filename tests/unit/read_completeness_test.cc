// What pages say about themselves.

#include <gtest/gtest.h>

#include "services/read/completeness.h"
#include "tests/unit/read_world.h"

namespace klatch {
namespace {

class CompletenessTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kShards = 4;

  void Apply(uint32_t shard, uint64_t ms) {
    progress_.Advance(0, ShardIndex(shard), Position(ms, ShardIndex(shard), 5));
  }
  klatch::v1::Completeness Of(std::vector<ShardIndex> shards) {
    return CompletenessOf(shards, AppliedPrefix(progress_, kShards), progress_, clock_,
                          std::chrono::milliseconds(2'000));
  }
  static int64_t MsSinceEpoch(const google::protobuf::Timestamp& time) {
    return time.seconds() * 1000 + time.nanos() / 1'000'000 - kEpochUnixMs;
  }

  ManualClock clock_;
  base::Executor executor_{1, "test"};
  Progress progress_{kShards, 1, executor_, clock_};
};

TEST_F(CompletenessTest, ReachesToTheLowestOfItsShardsAndNotIntoThatMillisecond) {
  Apply(0, 5'000);
  Apply(1, 3'000);
  Apply(2, 1'000);
  progress_.NoteHeard(clock_.Monotonic());
  EXPECT_EQ(MsSinceEpoch(Of({ShardIndex(0), ShardIndex(1)}).complete_until()), 2'999);
  EXPECT_EQ(MsSinceEpoch(Of({ShardIndex(0)}).complete_until()), 4'999);
}

TEST_F(CompletenessTest, PromisesNothingWithoutShards) {
  Apply(0, 5'000);
  progress_.NoteHeard(clock_.Monotonic());
  EXPECT_FALSE(Of({}).has_complete_until());
  EXPECT_EQ(Of({}).stale_shards_size(), 0);
}

TEST_F(CompletenessTest, NamesItsShardsWhenTheLogWasSilentForLongerThanTheLimit) {
  progress_.NoteHeard(clock_.Monotonic());
  clock_.Advance(std::chrono::milliseconds(2'000));
  EXPECT_EQ(Of({ShardIndex(1), ShardIndex(3)}).stale_shards_size(), 0);
  clock_.Advance(std::chrono::milliseconds(1));
  const klatch::v1::Completeness completeness = Of({ShardIndex(1), ShardIndex(3)});
  ASSERT_EQ(completeness.stale_shards_size(), 2);
  EXPECT_EQ(completeness.stale_shards(0), 1u);
  EXPECT_EQ(completeness.stale_shards(1), 3u);
}

TEST_F(CompletenessTest, DoesNotCoverIdsOfShardsThatDoNotExist) {
  Apply(3, 3'000);
  const AppliedPrefix applied(progress_, kShards);
  EXPECT_TRUE(applied.Covers(UpdateId(3'000, ShardIndex(3), 5)));
  EXPECT_FALSE(applied.Covers(UpdateId(3'000, ShardIndex(3), 6)));
  EXPECT_FALSE(applied.Covers(UpdateId(1, ShardIndex(4), 0)));
  EXPECT_FALSE(applied.Covers(UpdateId(UINT64_MAX)));
}

TEST(HoleForOthersTest, TellsTheMillisecondAndNeitherShardNorSequence) {
  const uint64_t since = HoleForOthers(Position(5'000, ShardIndex(3), 9).value());
  EXPECT_EQ(since, Position(5'000, ShardIndex(0), 0).value());
  EXPECT_EQ(HoleForOthers(0), 0u);
}

TEST(OlderHoleTest, IsTheOlderOfTwoAndIgnoresNone) {
  EXPECT_EQ(OlderHole(0, 0), 0u);
  EXPECT_EQ(OlderHole(7, 0), 7u);
  EXPECT_EQ(OlderHole(0, 7), 7u);
  EXPECT_EQ(OlderHole(9, 7), 7u);
}

}  // namespace
}  // namespace klatch
