// Trimming the log behind the checkpoints, against a real redis-server.

#include <chrono>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "services/log/janitor.h"
#include "tests/integration/log_fixture.h"

namespace klatch::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;

// Redis drops whole blocks of 100 records, so a block and what is due may stay.
constexpr uint64_t kBlock = 100;

class LogJanitorRedisTest : public LogRedisTest {
 protected:
  // Ticks in shard 1; their positions.
  std::vector<Position> Fill(size_t count) {
    std::vector<Position> positions;
    for (size_t i = 0; i < count; ++i) {
      const auto tick = Await(appender_->Tick(ShardIndex(1)));
      EXPECT_THAT(tick, IsOk());
      positions.push_back(tick->position);
    }
    return positions;
  }

  void SetCheckpoint(uint32_t partition, Position of_shard_1) {
    std::string packed;
    for (uint32_t shard = 0; shard < layout_.shard_count; ++shard) {
      base::AppendLittleEndian<uint64_t>(packed, shard == 1 ? of_shard_1.value() : 0);
    }
    Redis({"SET", Keys(layout_).Checkpoint(PartitionIndex(partition)), packed});
  }
  void SetAllCheckpoints(Position of_shard_1) {
    for (uint32_t partition = 0; partition < layout_.partition_count; ++partition) {
      SetCheckpoint(partition, of_shard_1);
    }
  }

  std::unique_ptr<Janitor> MakeJanitor(milliseconds kept, int64_t bytes_max = 64 << 20) {
    auto connection = redis::Connection::Connect(server_.address(), {});
    EXPECT_TRUE(connection.ok()) << connection.status();
    return std::make_unique<Janitor>(layout_,
                                     Janitor::Options{.kept = kept, .shard_bytes_max = bytes_max},
                                     *std::move(connection), clock_);
  }

  uint64_t Length() {
    return static_cast<uint64_t>(Redis({"XLEN", Keys(layout_).Log(ShardIndex(1))}).integer());
  }
  Position Oldest() {
    const redis::Reply reply =
        Redis({"XRANGE", Keys(layout_).Log(ShardIndex(1)), "-", "+", "COUNT", "1"});
    return *Position::FromStreamId(reply[0][0].text(), ShardIndex(1));
  }

  const base::SystemClock clock_;
};

TEST_F(LogJanitorRedisTest, TrimsNothingThatTheLowestCheckpointHasNotPassed) {
  const std::vector<Position> positions = Fill(1'000);
  const auto janitor = MakeJanitor(milliseconds(0));
  // No checkpoint at all, then one partition without: nothing may go.
  ASSERT_TRUE(janitor->TrimAll().ok());
  SetAllCheckpoints(positions.back());
  Redis({"DEL", Keys(layout_).Checkpoint(PartitionIndex(1))});
  ASSERT_TRUE(janitor->TrimAll().ok());
  EXPECT_EQ(Length(), 1'000u);

  SetCheckpoint(1, positions[499]);
  ASSERT_TRUE(janitor->TrimAll().ok());
  EXPECT_LE(Oldest(), positions[499]);
  EXPECT_LE(Length(), 501 + kBlock);
  EXPECT_EQ(janitor->trimmed(), 1'000 - Length());
}

TEST_F(LogJanitorRedisTest, KeepsWhatIsYoungUnlessTheLogIsTooLarge) {
  const std::vector<Position> positions = Fill(1'000);
  SetAllCheckpoints(positions[899]);
  ASSERT_TRUE(MakeJanitor(minutes(10))->TrimAll().ok());
  EXPECT_EQ(Length(), 1'000u);

  const auto janitor = MakeJanitor(minutes(10), 1'000);
  ASSERT_TRUE(janitor->TrimAll().ok());
  EXPECT_GT(janitor->bytes(), 1'000u);
  EXPECT_LE(Oldest(), positions[899]);
  EXPECT_LE(Length(), 101 + kBlock);
}

TEST_F(LogJanitorRedisTest, TheNewestRecordStays) {
  Fill(1'000);
  // A checkpoint of another world: nothing that can happen may empty a log.
  SetAllCheckpoints(Position(~uint64_t{0} >> 1));
  ASSERT_TRUE(MakeJanitor(milliseconds(0), 1)->TrimAll().ok());
  EXPECT_GE(Length(), 1u);
  EXPECT_LE(Length(), kBlock);
  EXPECT_THAT(Await(appender_->Tick(ShardIndex(1))), IsOk());
}

}  // namespace
}  // namespace klatch::testing
