// What a flusher does when connections break, memory is full, or somebody else has written to its
// keys.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <utility>

#include "tests/integration/flusher_fixture.h"
#include "tests/integration/holding_proxy.h"

namespace klatch {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using testing::kPatience;

constexpr milliseconds kCallTimeout{200};

class FlusherFaultsTest : public testing::FlusherFixture {
 protected:
  void StartBehindProxy() {
    auto connected = redis::Connection::Connect(proxy_.address(), {.call_timeout = kCallTimeout});
    ASSERT_TRUE(connected.ok());
    flusher_redis_ = std::move(*connected);
    StartAll(64 << 20);
    flusher_->Start();
    // So that the scripts are known, and the connection is fenced.
    Join("zoe");
    AwaitApplied();
    ASSERT_TRUE(DrainSoon());
  }
  // Members, and written.
  void StartWithAnnAndBob() {
    StartAll(64 << 20);
    flusher_->Start();
    Join("ann");
    Join("bob");
    AwaitApplied();
    ASSERT_TRUE(DrainSoon());
  }
  void SetMemoryMax(const std::string& bytes) {
    ASSERT_TRUE(Connect()->Call({"CONFIG", "SET", "maxmemory", bytes}).ok());
  }
  std::string StatisticsOfCommands() {
    auto reply = Connect()->Call({"INFO", "commandstats"});
    EXPECT_TRUE(reply.ok());
    return reply.ok() ? std::string(reply->text()) : std::string();
  }
  void AwaitFailures(uint64_t count) {
    const auto deadline = clock_.Monotonic() + kPatience;
    while (flusher_->commands_failed() < count) {
      ASSERT_LT(clock_.Monotonic(), deadline);
      std::this_thread::yield();
    }
  }
  PartitionIndex PartitionOf(const std::string& person) const {
    return layout_.PartitionOf(PersonId(person));
  }
  std::string TypeOf(const std::string& key) {
    auto reply = Connect()->Call({"TYPE", key});
    EXPECT_TRUE(reply.ok());
    return reply.ok() ? std::string(reply->text()) : std::string();
  }

  testing::HoldingProxy proxy_{server_.address()};
};

TEST_F(FlusherFaultsTest, MembershipThatArrivesLateDoesNotBringARemovedMemberBack) {
  StartBehindProxy();
  proxy_.HoldNext({keys_.PersonGroups(PersonId("bob"))});
  Join("bob");
  ASSERT_TRUE(proxy_.AwaitHeld(kPatience));
  ASSERT_TRUE(DrainSoon());
  ASSERT_EQ(StoredMemberships("bob"), 1);
  Leave("bob");
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  ASSERT_EQ(StoredMemberships("bob"), 0);
  ASSERT_TRUE(proxy_.Release(kPatience));
  EXPECT_EQ(StoredMemberships("bob"), 0);
  EXPECT_FALSE(leases_.lost().has_value());
}

TEST_F(FlusherFaultsTest, WholeRingThatArrivesLateErasesNothing) {
  StartBehindProxy();
  Join("ann");
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  proxy_.HoldNext({keys_.Timeline(PersonId("ann"))});
  PublishMany("bob", 3);
  ASSERT_TRUE(proxy_.AwaitHeld(kPatience));
  PublishMany("bob", 3);
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  ASSERT_EQ(StoredHome("ann"), feed_);
  ASSERT_TRUE(proxy_.Release(kPatience));
  EXPECT_EQ(StoredHome("ann"), feed_);
}

TEST_F(FlusherFaultsTest, IdsThatArriveLateOverwriteNothingNewer) {
  StartBehindProxy();
  Join("ann");
  PublishMany("bob", limits::kStoredSlotsMax);
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  // For the first slots, as are those that come once round behind them.
  proxy_.HoldNext({"SETRANGE", keys_.Timeline(PersonId("ann"))});
  PublishMany("bob", 3);
  ASSERT_TRUE(proxy_.AwaitHeld(kPatience));
  for (int i = 0; i < 4; ++i) {
    PublishMany("bob", limits::kStoredSlotsMax / 4);
    AwaitApplied();
    ASSERT_TRUE(DrainSoon());
  }
  const std::vector<uint64_t> stored = StoredHome("ann");
  ASSERT_TRUE(proxy_.Release(kPatience));
  EXPECT_EQ(StoredHome("ann"), stored);
}

// Between the look at the lease and the transaction: it is tried again, five times, and then the batch is.
TEST_F(FlusherFaultsTest, LeaseThatIsRenewedMeanwhileHoldsUpNoTimelines) {
  StartBehindProxy();
  Join("ann");
  std::vector<uint64_t> ids = PublishMany("bob", 3);
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  const auto redis = Connect();
  for (const auto& [renewals, failures] : {std::pair(1, 0), std::pair(4, 0), std::pair(5, 1)}) {
    SCOPED_TRACE(renewals);
    const uint64_t failed = flusher_->commands_failed();
    proxy_.BeforeNext({"SETRANGE", keys_.Timeline(PersonId("ann"))}, renewals, [&] {
      EXPECT_TRUE(redis->Call({"HSET", keys_.Lease(PartitionOf("ann")), "renewal", "again"}).ok());
    });
    const std::vector<uint64_t> more = PublishMany("bob", 3);
    ids.insert(ids.end(), more.begin(), more.end());
    AwaitApplied();
    ASSERT_TRUE(DrainSoon());
    EXPECT_EQ(proxy_.acts_left(), 0);
    EXPECT_EQ(flusher_->commands_failed() - failed, failures);
    EXPECT_EQ(StoredHome("ann"), ids);
  }
}

TEST_F(FlusherFaultsTest, GoesOnWithANewFenceWhenSomebodyElseHasSetOne) {
  StartAll(64 << 20);
  flusher_->Start();
  Join("ann");
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  ASSERT_TRUE(Connect()->Call({"HSET", keys_.Lease(PartitionOf("ann")), "fence", "late"}).ok());
  const std::vector<uint64_t> ids = PublishMany("bob", 3);
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  EXPECT_EQ(StoredHome("ann"), ids);
  EXPECT_GE(flusher_->commands_failed(), 1u);
  EXPECT_FALSE(flusher_->stuck(milliseconds(0)).has_value());
}

TEST_F(FlusherFaultsTest, RemovalsAreWrittenWhenMemoryIsFull) {
  StartAll(64 << 20);
  flusher_->Start();
  Join("ann");
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  ASSERT_EQ(StoredMemberships("ann"), 1);
  SetMemoryMax("1");
  Leave("ann");
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  EXPECT_EQ(StoredMemberships("ann"), 0);
}

TEST_F(FlusherFaultsTest, TimelinesWaitWithoutReadingWhileMemoryIsFull) {
  StartAll(64 << 20);
  flusher_->Start();
  Join("ann");
  PublishMany("bob", 3);
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  SetMemoryMax("1");
  ASSERT_TRUE(Connect()->Call({"CONFIG", "RESETSTAT"}).ok());
  const uint64_t failures = flusher_->commands_failed();
  Deliver("bob", 3);
  ring_.Publish();
  AwaitFailures(failures + 2);
  const auto stuck = flusher_->stuck(milliseconds(0));
  ASSERT_TRUE(stuck.has_value());
  EXPECT_THAT(*stuck, HasSubstr("OOM"));
  EXPECT_THAT(*stuck, HasSubstr("{default:t")) << "it names a key";
  SetMemoryMax("0");
  ASSERT_TRUE(DrainSoon());
  EXPECT_EQ(StatisticsOfCommands().find("cmdstat_get:"), std::string::npos);
  EXPECT_EQ(StoredHome("ann").size(), 6u);
  EXPECT_FALSE(flusher_->stuck(milliseconds(0)).has_value());
}

TEST_F(FlusherFaultsTest, KeysOfAnotherTypeAreWrittenAnewFromMemory) {
  ASSERT_NO_FATAL_FAILURE(StartWithAnnAndBob());
  const std::string view = keys_.PersonGroups(PersonId("bob"));
  const std::string persons = keys_.Persons(PartitionOf("bob"));
  ASSERT_TRUE(Connect()->Call({"SET", view, "foreign"}).ok());
  ASSERT_TRUE(Connect()->Call({"SET", persons, "foreign"}).ok());
  ASSERT_TRUE(Connect()->Call({"SET", keys_.Timeline(PersonId("ann")), ""}).ok());
  ASSERT_TRUE(Connect()->Call({"LPUSH", keys_.Posts(PersonId("ann")), "foreign"}).ok());
  const std::string checkpoint = keys_.Checkpoint(PartitionOf("ann"));
  const std::string longer = keys_.Checkpoint(PartitionOf("bob"));
  ASSERT_TRUE(Connect()->Call({"DEL", checkpoint}).ok());
  ASSERT_TRUE(Connect()->Call({"LPUSH", checkpoint, "foreign"}).ok());
  ASSERT_TRUE(Connect()->Call({"APPEND", longer, "foreign"}).ok());
  // Somebody new of bob's partition.
  std::string neighbour;
  for (int i = 0; PartitionOf(neighbour = "p" + std::to_string(i)) != PartitionOf("bob"); ++i) {
  }
  Join(neighbour);
  Change("bob", MemberChange::Kind::kRoleChanged, Role::kModerator);
  const std::vector<uint64_t> ids = PublishMany("ann", 3);
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  EXPECT_EQ(StoredMemberships("bob"), 1);
  auto members = Connect()->Call({"SMISMEMBER", persons, "bob", neighbour});
  ASSERT_TRUE(members.ok());
  EXPECT_EQ((*members)[0].integer() + (*members)[1].integer(), 2);
  EXPECT_EQ(StoredHome("bob"), ids);
  EXPECT_EQ(Stored(keys_.Posts(PersonId("ann"))), ids);
  for (const std::string& key : {checkpoint, longer}) {
    const auto bytes = Connect()->Call({"STRLEN", key});
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_EQ(bytes->integer(), static_cast<int64_t>(layout_.shard_count * sizeof(uint64_t)))
        << key;
  }
}

// No batch has a view of who left in one before.
TEST_F(FlusherFaultsTest, KeyOfAnotherTypeInThePlaceOfATombstoneStopsNobody) {
  ASSERT_NO_FATAL_FAILURE(StartWithAnnAndBob());
  progress_.NoteWhole(ShardIndex(0), Position(ms_, ShardIndex(0), 0));
  Leave("bob");
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  ASSERT_EQ(StoredMemberships("bob"), 1) << "a tombstone, until the checkpoint has passed it";
  ASSERT_TRUE(Connect()->Call({"SET", keys_.PersonGroups(PersonId("bob")), "foreign"}).ok());
  progress_.NoteWhole(ShardIndex(0), Position(ms_, ShardIndex(0), 0));
  const std::vector<uint64_t> ids = PublishMany("cat", 3);
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  EXPECT_EQ(StoredHome("ann"), ids);
  EXPECT_EQ(StoredMemberships("bob"), 0);
}

TEST_F(FlusherFaultsTest, ReplacedTimelineIsAHoleUntilItIsRebuilt) {
  StartAll(64 << 20);
  flusher_->Start();
  Join("ann");
  std::vector<uint64_t> ids = PublishMany("bob", 3);
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  auto redis = Connect();
  const std::string key = keys_.Timeline(PersonId("ann"));
  const std::string feed = keys_.Feed(GroupId("g"));
  ASSERT_TRUE(redis->Call({"DEL", key}).ok());
  ASSERT_TRUE(redis->Call({"LPUSH", key, "foreign"}).ok());
  // Nothing can be rebuilt for now.
  ASSERT_TRUE(redis->Call({"RENAME", feed, feed + ":kept"}).ok());
  ASSERT_TRUE(redis->Call({"LPUSH", feed, "foreign"}).ok());
  const std::vector<uint64_t> more = Deliver("bob", 3);
  ring_.Publish();
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  EXPECT_EQ(StoredHome("ann"), more);
  const std::string holes = keys_.Holes(PartitionOf("ann"));
  EXPECT_EQ(redis->Call({"HGET", holes, "ann"})->text(), "1");
  const Person* ann = persons_->Find("ann");
  EXPECT_EQ(ann->hole_since.load(std::memory_order_relaxed), 1u);
  ASSERT_TRUE(redis->Call({"RENAME", feed + ":kept", feed}).ok());
  const auto deadline = clock_.Monotonic() + kPatience;
  while (ann->hole_since.load(std::memory_order_relaxed) != 0) {
    ASSERT_LT(clock_.Monotonic(), deadline);
    ASSERT_TRUE(DrainSoon());
  }
  ids.insert(ids.end(), more.begin(), more.end());
  EXPECT_EQ(StoredHome("ann"), ids);
  ASSERT_TRUE(DrainSoon());
  EXPECT_TRUE(redis->Call({"HGET", holes, "ann"})->is_nil());
}

TEST_F(FlusherFaultsTest, RepeatedBatchWritesSpilledPostsOnce) {
  // Memory has no room for any entry.
  StartAll(0);
  flusher_->Start();
  std::vector<uint64_t> ids = PublishMany("bob", 5);
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  ASSERT_EQ(Stored(keys_.Posts(PersonId("bob"))), ids);
  // The checkpoint can't be written, so the batch is repeated after its timelines.
  const PartitionIndex other((PartitionOf("bob").value() + 1) % layout_.partition_count);
  ASSERT_TRUE(Connect()->Call({"DEL", keys_.Lease(other)}).ok());
  const std::vector<uint64_t> more = PublishMany("bob", 5);
  ids.insert(ids.end(), more.begin(), more.end());
  AwaitFailures(flusher_->commands_failed() + 3);
  EXPECT_EQ(Stored(keys_.Posts(PersonId("bob"))), ids);
}

}  // namespace
}  // namespace klatch
