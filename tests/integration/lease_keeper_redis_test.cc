// Leases on a real Redis, between nodes whose clocks have nothing to do with each other.

#include <gmock/gmock.h>

#include <thread>

#include "common/redis/probe.h"
#include "services/persons/lease_keeper.h"
#include "tests/integration/redis_server_fixture.h"
#include "tests/unit/manual_clock.h"

namespace klatch::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr milliseconds kDuration{3'000};

class LeaseKeeperRedisTest : public RedisTest {
 protected:
  struct Node {
    Node(const Layout& layout, std::string name, milliseconds duration = kDuration)
        : others(layout.partition_count),
          leases(layout, std::move(name), duration, clock, others) {}

    ManualClock clock;
    OthersLeases others;
    LeaseKeeper leases;
  };

  LeaseKeeperRedisTest() { first_.clock.Advance(std::chrono::hours(1)); }

  // Asks once.
  absl::Status Take(Node& node) { return node.leases.TakeAll(*redis_, node.clock.Monotonic()); }
  absl::Status Renew(Node& node) {
    if (guard_ == nullptr) {
      guard_ = std::make_unique<redis::RunGuard>(redis::Probe(*redis_)->run_id);
    }
    node.leases.Begin(Connect(), *guard_);
    return node.leases.DoWork();
  }
  static bool Holds(const Node& node) {
    return node.leases.Holds(PartitionIndex(0), node.clock.Monotonic());
  }
  std::string Stored(const std::string& field) {
    return std::string(
        redis_->Call({"HGET", Keys(layout_).Lease(PartitionIndex(0)), field})->text());
  }

  Layout layout_ = [] {
    Layout layout;
    layout.partition_count = 4;
    return layout;
  }();
  std::unique_ptr<redis::Connection> redis_ = Connect();
  std::unique_ptr<redis::RunGuard> guard_;
  Node first_{layout_, "first"};
  Node second_{layout_, "second"};
};

TEST_F(LeaseKeeperRedisTest, AClockThatIsAheadOfTheHoldersFindsNobodyHolding) {
  ASSERT_TRUE(Take(first_).ok());
  EXPECT_FALSE(Take(second_).ok());
  // While the first counts 92 ms, the second counts 100.
  first_.clock.Advance(kDuration * 92 / 100);
  second_.clock.Advance(kDuration);
  EXPECT_TRUE(Take(second_).ok());
  EXPECT_FALSE(Holds(first_));
  EXPECT_TRUE(Holds(second_));
}

TEST_F(LeaseKeeperRedisTest, OneThatIsNotRenewedIsTakenWhenTheWaitingNodeHasSeenItForItsDuration) {
  ASSERT_TRUE(Take(first_).ok());
  const absl::Status refused = Take(second_);
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("4 of 4 partitions are held by node first"));
  second_.clock.Advance(kDuration - milliseconds(1));
  EXPECT_FALSE(Take(second_).ok());
  second_.clock.Advance(milliseconds(1));
  EXPECT_TRUE(Take(second_).ok());
  EXPECT_TRUE(Holds(second_));
  EXPECT_EQ(Stored("owner"), "second");
  EXPECT_EQ(Stored("epoch"), "2");
}

TEST_F(LeaseKeeperRedisTest, OneThatIsRenewedIsWaitedForAnew) {
  ASSERT_TRUE(Take(first_).ok());
  EXPECT_FALSE(Take(second_).ok());
  second_.clock.Advance(kDuration - milliseconds(1));
  ASSERT_TRUE(Renew(first_).ok());
  second_.clock.Advance(milliseconds(1));
  EXPECT_FALSE(Take(second_).ok());
  EXPECT_EQ(Stored("owner"), "first") << "not even the first of them";
  second_.clock.Advance(kDuration - milliseconds(1));
  EXPECT_FALSE(Take(second_).ok());
  second_.clock.Advance(milliseconds(1));
  EXPECT_TRUE(Take(second_).ok());
  ASSERT_TRUE(Renew(first_).ok());
  EXPECT_TRUE(first_.leases.lost().has_value());
  EXPECT_FALSE(Holds(first_));
}

// Else two who wait for a third, each with a part of what it had, would wait for each other.
TEST_F(LeaseKeeperRedisTest, WhoDoesNotGetTheFirstTakesNoneOfTheOthers) {
  ASSERT_TRUE(Take(first_).ok());
  for (uint32_t i = 1; i < layout_.partition_count; ++i) {
    ASSERT_TRUE(redis_->Call({"DEL", Keys(layout_).Lease(PartitionIndex(i))}).ok());
  }
  EXPECT_FALSE(Take(second_).ok());
  for (uint32_t i = 1; i < layout_.partition_count; ++i) {
    EXPECT_EQ(redis_->Call({"EXISTS", Keys(layout_).Lease(PartitionIndex(i))})->integer(), 0);
  }
  second_.clock.Advance(kDuration);
  EXPECT_TRUE(Take(second_).ok());
}

// Who has it knows for how long; the waiting node's own options say nothing of that.
TEST_F(LeaseKeeperRedisTest, TheDurationIsItsOwners) {
  Node brief(layout_, "brief", milliseconds(1'000));
  ASSERT_TRUE(Take(first_).ok());
  EXPECT_FALSE(Take(brief).ok());
  brief.clock.Advance(kDuration - milliseconds(1));
  EXPECT_FALSE(Take(brief).ok());
  brief.clock.Advance(milliseconds(1));
  EXPECT_TRUE(Take(brief).ok());
}

TEST_F(LeaseKeeperRedisTest, OneThatWasLetGoAndOnesOwnAreTakenAtOnce) {
  ASSERT_TRUE(Take(first_).ok());
  Node again(layout_, "first");
  EXPECT_TRUE(Take(again).ok());
  EXPECT_FALSE(Take(second_).ok());
  ASSERT_TRUE(again.leases.Release(*redis_).ok());
  EXPECT_FALSE(Holds(again));
  EXPECT_TRUE(Take(second_).ok());
}

// With a tenth of the duration left for clocks of different speeds; nobody has to tell.
TEST_F(LeaseKeeperRedisTest, OneThatIsNotRenewedIsHeldNoLongerByItsOwner) {
  ASSERT_TRUE(Take(first_).ok());
  first_.clock.Advance(kDuration - kDuration / 10 - milliseconds(1));
  EXPECT_TRUE(Holds(first_));
  first_.clock.Advance(milliseconds(1));
  EXPECT_FALSE(Holds(first_));
  EXPECT_EQ(first_.leases.HeldFor(PartitionIndex(0), first_.clock.Monotonic()).count(), 0);
}

TEST_F(LeaseKeeperRedisTest, TheyAreTakenAndRenewedWhenMemoryIsFull) {
  ASSERT_TRUE(redis_->Call({"CONFIG", "SET", "maxmemory", "1"}).ok());
  ASSERT_TRUE(Take(first_).ok());
  const std::string taken = Stored("renewal");
  ASSERT_TRUE(Renew(first_).ok());
  EXPECT_NE(Stored("renewal"), taken);
}

TEST_F(LeaseKeeperRedisTest, AThreadRenewsThem) {
  ASSERT_TRUE(Take(first_).ok());
  Node brief(layout_, "first", milliseconds(30));
  ASSERT_TRUE(Take(brief).ok());
  const std::string taken = Stored("renewal");
  guard_ = std::make_unique<redis::RunGuard>(redis::Probe(*redis_)->run_id);
  brief.leases.Start(Connect(), *guard_);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (Stored("renewal") == taken) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::yield();
  }
}

}  // namespace
}  // namespace klatch::testing
