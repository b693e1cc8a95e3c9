// Following the log, and opening a namespace, against a real redis-server.

#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "services/log/namespace_facts.h"
#include "tests/integration/log_fixture.h"

namespace klatch::testing {
namespace {

using absl::StatusCode;
using std::chrono::milliseconds;

class LogReaderRedisTest : public LogRedisTest {
 protected:
  void SetUp() override {
    LogRedisTest::SetUp();
    reader_ = std::make_unique<RedisLogReader>(server_.address(), redis::Connection::Options(),
                                               layout_, log_clock_);
    after_.resize(layout_.shard_count);
  }

  std::vector<LogEntry> Read(size_t entries_max, milliseconds wait = milliseconds(0)) {
    std::vector<LogEntry> entries;
    const absl::Status status = reader_->Read(after_, entries_max, wait, entries);
    EXPECT_TRUE(status.ok()) << status;
    return entries;
  }
  void Advance(const std::vector<LogEntry>& entries) {
    for (const LogEntry& entry : entries) {
      EXPECT_GT(entry.position, after_[entry.position.shard().value()]);
      after_[entry.position.shard().value()] = entry.position;
    }
  }
  Position Tick(uint32_t shard) {
    auto tick = Await(appender_->Tick(ShardIndex(shard)));
    EXPECT_THAT(tick, IsOk());
    return tick.ok() ? tick->position : Position();
  }

  const base::SystemClock system_clock_;
  LogClock log_clock_{system_clock_};
  std::unique_ptr<RedisLogReader> reader_;
  std::vector<Position> after_;
};

TEST_F(LogReaderRedisTest, ReadsEveryRecordOnceInOrderWithinTheBound) {
  std::vector<std::vector<Position>> expected(layout_.shard_count);
  for (int i = 0; i < 300; ++i) {
    const uint32_t shard = i % 10 == 0 ? static_cast<uint32_t>(i / 10) % 4 : 1;
    expected[shard].push_back(Tick(shard));
  }
  std::vector<std::vector<Position>> found(layout_.shard_count);
  for (std::vector<LogEntry> entries = Read(7); !entries.empty(); entries = Read(7)) {
    EXPECT_LE(entries.size(), 7u);
    Advance(entries);
    for (const LogEntry& entry : entries) {
      EXPECT_TRUE(entry.record.has_tick());
      found[entry.position.shard().value()].push_back(entry.position);
    }
  }
  EXPECT_EQ(found, expected);
  auto last = reader_->LastPositions();
  ASSERT_THAT(last, IsOk());
  EXPECT_EQ(*last, after_);
}

TEST_F(LogReaderRedisTest, LastPositionsAreZeroWhereTheLogIsEmpty) {
  const Position tick = Tick(2);
  auto last = reader_->LastPositions();
  ASSERT_THAT(last, IsOk());
  EXPECT_EQ(*last, (std::vector<Position>{Position(), Position(), tick, Position()}));
}

TEST_F(LogReaderRedisTest, TellsWholeTrimmedAndForkedLogsApart) {
  for (int i = 0; i < 3; ++i) {
    Tick(1);
  }
  const std::vector<LogEntry> entries = Read(100);
  ASSERT_EQ(entries.size(), 3u);
  std::vector<LogMark> marks;
  for (const LogEntry& entry : entries) {
    marks.push_back({entry.position, entry.record.nonce()});
  }
  const auto findings = [&] {
    std::vector<LogFinding> found;
    const absl::StatusOr<std::vector<LogLook>> looks = reader_->LookAt(marks);
    EXPECT_THAT(looks, IsOk());
    for (size_t i = 0; looks.ok() && i < looks->size(); ++i) {
      found.push_back(Judge(marks[i], (*looks)[i]));
    }
    return found;
  };
  constexpr LogFinding kWhole = LogFinding::kWhole;
  constexpr LogFinding kForked = LogFinding::kForked;
  EXPECT_EQ(findings(), (std::vector{kWhole, kWhole, kWhole}));
  marks[1].nonce ^= 1;
  EXPECT_EQ(findings(), (std::vector{kWhole, kForked, kWhole}));
  marks[1].nonce ^= 1;
  const std::string log = keys_.Log(ShardIndex(1));
  Redis({"XTRIM", log, "MINID", marks[1].position.ToStreamId()});
  EXPECT_EQ(findings(), (std::vector{LogFinding::kTrimmed, kWhole, kWhole}));
  // The end is gone, as after a failover.
  Redis({"XDEL", log, marks[2].position.ToStreamId()});
  EXPECT_EQ(findings(), (std::vector{LogFinding::kTrimmed, kWhole, kForked}));
  Redis({"DEL", log});
  EXPECT_EQ(findings(), (std::vector{kForked, kForked, kForked}));
}

TEST_F(LogReaderRedisTest, WaitEndsEmptyOrWithTheFirstRecord) {
  EXPECT_TRUE(Read(10, milliseconds(20)).empty());
  const auto begin = std::chrono::steady_clock::now();
  std::thread appending([this] {
    // Once the reader is blocked in Redis.
    while (Redis({"CLIENT", "LIST"}).text().find("cmd=xread") == std::string_view::npos) {
      std::this_thread::yield();
    }
    Tick(3);
  });
  const auto entries = Read(10, milliseconds(4000));
  appending.join();
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].position.shard(), ShardIndex(3));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(3500));
}

TEST_F(LogReaderRedisTest, ReportsABrokenConnectionAndGoesOnAtTheNextRead) {
  const Position first = Tick(0);
  Advance(Read(10));
  Redis({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
  std::vector<LogEntry> entries;
  const absl::Status broken = reader_->Read(after_, 10, milliseconds(0), entries);
  EXPECT_EQ(broken.code(), StatusCode::kUnavailable) << broken;
  EXPECT_TRUE(Read(10).empty());
  EXPECT_EQ(after_[0], first);
}

TEST_F(LogReaderRedisTest, RecordThatCannotBeDecodedIsDataLossNamingIt) {
  Tick(0);
  const std::string log = keys_.Log(ShardIndex(1));
  Redis({"XADD", log, "77-3", "r", "\xff\xff\xff"});
  for (const char* kind : {"bytes", "field", "event", "position"}) {
    std::vector<LogEntry> entries(1);
    const absl::Status status = reader_->Read(after_, 10, milliseconds(0), entries);
    EXPECT_EQ(status.code(), StatusCode::kDataLoss) << kind << status;
    EXPECT_NE(base::MessageOf(status).find(log), std::string::npos) << kind << status;
    EXPECT_EQ(entries.size(), 1u) << kind;
    Redis({"DEL", log});
    if (kind == std::string_view("bytes")) {
      Redis({"XADD", log, "77-3", "body", "x"});
    } else if (kind == std::string_view("field")) {
      Redis({"XADD", log, "77-3", "r", ""});
    } else {
      Redis({"XADD", log, "77-4096", "r", "x"});
    }
  }
}

TEST_F(LogReaderRedisTest, WrongTypeIsAnErrorThatNamesNoRecord) {
  Redis({"SET", keys_.Log(ShardIndex(1)), "x"});
  std::vector<LogEntry> entries;
  EXPECT_EQ(reader_->Read(after_, 10, milliseconds(0), entries).code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(reader_->LastPositions().status().code(), StatusCode::kFailedPrecondition);
}

class NamespaceRedisTest : public RedisTest {};

TEST_F(NamespaceRedisTest, FactsAreMadeOnceAndCheckedAfter) {
  auto connection = Connect();
  Layout layout;
  auto made = OpenNamespace(*connection, layout);
  ASSERT_THAT(made, IsOk());
  EXPECT_EQ(made->cursor_key.size(), 32u);
  auto again = OpenNamespace(*connection, layout);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->cursor_key, made->cursor_key);

  Layout fewer = layout;
  fewer.shard_count = 32;
  auto refused = OpenNamespace(*connection, fewer);
  EXPECT_EQ(refused.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(base::MessageOf(refused.status()),
            "shards is 64 in Redis but 32 is configured; it is fixed when a namespace is made");
  fewer = layout;
  fewer.partition_count = 8;
  EXPECT_EQ(base::MessageOf(OpenNamespace(*connection, fewer).status()),
            "partitions is 256 in Redis but 8 is configured; it is fixed when a namespace is made");

  Layout other = layout;
  other.name = "other";
  other.shard_count = 2;
  auto second = OpenNamespace(*connection, other);
  ASSERT_THAT(second, IsOk());
  EXPECT_NE(second->cursor_key, made->cursor_key);
}

TEST_F(NamespaceRedisTest, DamagedFactsAreRefused) {
  auto connection = Connect();
  const Layout layout;
  const std::string key = Keys(layout).Namespace();
  ASSERT_THAT(connection->Call({"SET", key, "x"}), IsOk());
  EXPECT_EQ(OpenNamespace(*connection, layout).status().code(), StatusCode::kFailedPrecondition);
  for (const char* field : {"format", "shards", "partitions", "cursor_key"}) {
    ASSERT_THAT(connection->Call({"DEL", key}), IsOk());
    ASSERT_THAT(OpenNamespace(*connection, layout), IsOk());
    ASSERT_THAT(connection->Call({"HDEL", key, field}), IsOk());
    EXPECT_EQ(OpenNamespace(*connection, layout).status().code(), StatusCode::kFailedPrecondition)
        << field;
    ASSERT_THAT(connection->Call({"HSET", key, field, "2"}), IsOk());
    EXPECT_EQ(OpenNamespace(*connection, layout).status().code(), StatusCode::kFailedPrecondition)
        << field;
  }
}

}  // namespace
}  // namespace klatch::testing
