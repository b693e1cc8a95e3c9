// Finding a master by its Sentinels, and noticing that another has become it.

#include <gmock/gmock.h>

#include <chrono>
#include <thread>

#include "common/redis/info.h"
#include "common/redis/master_watch.h"
#include "common/redis/place.h"
#include "tests/integration/redis_server_fixture.h"

namespace klatch::redis {
namespace {

using std::chrono::milliseconds;
using testing::FreePort;
using testing::RedisServer;

constexpr milliseconds kTimeout{500};

RedisServer::Options OnPort(int port, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"--port", std::to_string(port),
                                        "--repl-diskless-sync-delay", "0"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return {.arguments = std::move(arguments)};
}

Place PlaceOf(const std::vector<int>& ports, std::string_view name = "main") {
  std::string uri = "sentinel://";
  for (const int port : ports) {
    uri += (port == ports.front() ? "127.0.0.1:" : ",127.0.0.1:") + std::to_string(port);
  }
  auto place = Place::Parse(uri + "/" + std::string(name));
  EXPECT_TRUE(place.ok()) << place.status();
  return *place;
}

class RedisSentinelTest : public ::testing::Test {
 protected:
  RedisSentinelTest()
      : master_(OnPort(master_port_)),
        replica_(OnPort(replica_port_, {"--replicaof", "127.0.0.1", std::to_string(master_port_)})),
        sentinel_({.arguments = {"--port", std::to_string(sentinel_port_)},
                   .sentinel = "sentinel monitor main 127.0.0.1 " + std::to_string(master_port_) +
                               " 1\nsentinel down-after-milliseconds main 500\n"
                               "sentinel failover-timeout main 2000"}) {}

  static void Await(const std::function<bool()>& holds, std::string_view what) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!holds()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << what;
      std::this_thread::sleep_for(milliseconds(20));
    }
  }
  // Until the Sentinel knows of the replica, and it is in sync.
  void AwaitReplica() {
    auto at_master = master_.Connect();
    Await(
        [&] {
          return ReadReplication(at_master->Call({"INFO", "replication"})->text()).in_sync == 1;
        },
        "the replica is not in sync");
    auto at_sentinel = sentinel_.Connect();
    Await(
        [&] {
          const auto replicas = at_sentinel->Call({"SENTINEL", "REPLICAS", "main"});
          return replicas.ok() && replicas->size() == 1;
        },
        "the Sentinel knows no replica");
  }

  const int master_port_ = FreePort();
  const int replica_port_ = FreePort();
  const int sentinel_port_ = FreePort();
  RedisServer master_;
  RedisServer replica_;
  RedisServer sentinel_;
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
  sentinel_.Freeze();
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(absl::IsUnavailable(FindMaster(PlaceOf({sentinel_port_}), kTimeout).status()));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 2 * kTimeout + milliseconds(200));
  sentinel_.Thaw();
}

TEST_F(RedisSentinelTest, AFailoverIsNoticedAndTheNewMasterFound) {
  AwaitReplica();
  const Place place = PlaceOf({sentinel_port_});
  const auto before = FindMaster(place, kTimeout);
  ASSERT_TRUE(before.ok()) << before.status();
  MasterWatch watch(place, *before, milliseconds(20), kTimeout);
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_FALSE(watch.moved());
  master_.Kill();
  Await([&] { return watch.moved(); }, "the failover is not noticed");
  const auto after = FindMaster(place, kTimeout);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->address.port, replica_port_);
  EXPECT_GT(after->epoch, before->epoch);
}

TEST_F(RedisSentinelTest, OfTwoThatDisagreeTheLaterFailoverCounts) {
  // One that was cut off: it still calls the first master so, at an epoch that is no longer the last.
  AwaitReplica();
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
