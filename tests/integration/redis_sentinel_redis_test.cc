// Finding a master by its Sentinels, and noticing that another has become it.

#include <gmock/gmock.h>

#include <chrono>
#include <thread>

#include "common/redis/master_watch.h"
#include "common/redis/place.h"
#include "tests/integration/eventually.h"
#include "tests/integration/guarded_redis.h"

namespace klatch::redis {
namespace {

using std::chrono::milliseconds;
using testing::FreePort;
using testing::GuardedRedis;
using testing::RedisServer;

constexpr milliseconds kTimeout{500};

Place PlaceOf(const std::vector<int>& ports, std::string_view name = "main") {
  auto place = Place::Parse(GuardedRedis::UriOf(ports, name));
  EXPECT_TRUE(place.ok()) << place.status();
  return *place;
}

class RedisSentinelTest : public ::testing::Test {
 protected:
  GuardedRedis redis_{{.replicas = 1, .sentinels = 1}};
  const int master_port_ = redis_.port(0);
  const int replica_port_ = redis_.port(1);
  const int sentinel_port_ = redis_.sentinel_port(0);
};

TEST_F(RedisSentinelTest, SaysWhereTheMasterIs) {
  const auto master = FindMaster(PlaceOf({sentinel_port_}), kTimeout);
  ASSERT_TRUE(master.ok()) << master.status();
  EXPECT_EQ(master->address.host, "127.0.0.1");
  EXPECT_EQ(master->address.port, master_port_);
}

TEST_F(RedisSentinelTest, OneThatAnswersIsEnough) {
  const auto master = FindMaster(PlaceOf({FreePort(), sentinel_port_}), kTimeout);
  ASSERT_TRUE(master.ok()) << master.status();
  EXPECT_EQ(master->address.port, master_port_);
}

TEST_F(RedisSentinelTest, SaysWhatWaitingWillNotMend) {
  EXPECT_TRUE(absl::IsFailedPrecondition(
      FindMaster(PlaceOf({sentinel_port_}, "another"), kTimeout).status()));
  const absl::Status no_sentinel = FindMaster(PlaceOf({master_port_}), kTimeout).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(no_sentinel)) << no_sentinel;
  EXPECT_TRUE(absl::IsUnavailable(FindMaster(PlaceOf({FreePort()}), kTimeout).status()));
  EXPECT_TRUE(
      absl::IsUnavailable(FindMaster(PlaceOf({master_port_, FreePort()}), kTimeout).status()));
  redis_.sentinel(0).Freeze();
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(absl::IsUnavailable(FindMaster(PlaceOf({sentinel_port_}), kTimeout).status()));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 2 * kTimeout + milliseconds(200));
  redis_.sentinel(0).Thaw();
}

TEST_F(RedisSentinelTest, AFailoverIsNoticedAndTheNewMasterFound) {
  const Place place = PlaceOf({sentinel_port_});
  const auto before = FindMaster(place, kTimeout);
  ASSERT_TRUE(before.ok()) << before.status();
  MasterWatch watch(place, *before, milliseconds(20), kTimeout);
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_FALSE(watch.moved());
  redis_.FailOver();
  EXPECT_TRUE(testing::Eventually([&] { return watch.moved(); }));
  const auto after = FindMaster(place, kTimeout);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->address.port, replica_port_);
  EXPECT_GT(after->epoch, before->epoch);
}

TEST_F(RedisSentinelTest, OfTwoThatDisagreeTheLaterFailoverCounts) {
  // One that was cut off: it still calls the first master so, at an epoch that is no longer the last.
  const int other_port = FreePort();
  const RedisServer other({.arguments = {"--port", std::to_string(other_port)},
                           .sentinel = "sentinel monitor main 127.0.0.1 " +
                                       std::to_string(replica_port_) +
                                       " 1\nsentinel config-epoch main 7"});
  for (const std::vector<int>& order : {std::vector<int>{sentinel_port_, other_port},
                                        std::vector<int>{other_port, sentinel_port_}}) {
    const auto master = FindMaster(PlaceOf(order), kTimeout);
    ASSERT_TRUE(master.ok()) << master.status();
    EXPECT_EQ(master->epoch, 7u);
    EXPECT_EQ(master->address.port, replica_port_);
  }
}

}  // namespace
}  // namespace klatch::redis
