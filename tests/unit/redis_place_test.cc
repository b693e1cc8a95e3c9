// Parsing where Redis is, with Sentinels and without, and what Redis says of itself.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/redis/info.h"
#include "common/redis/place.h"

namespace klatch::redis {
namespace {

TEST(RedisPlaceTest, AnAddressIsAPlaceWithoutSentinels) {
  const auto place = Place::Parse("redis://u:p@db.example:7000");
  ASSERT_TRUE(place.ok()) << place.status();
  EXPECT_FALSE(place->has_sentinels());
  EXPECT_EQ(place->address.port, 7000);
  EXPECT_EQ(place->ToString(), "redis://u@db.example:7000");
  const auto master = FindMaster(*place, std::chrono::milliseconds(1));
  ASSERT_TRUE(master.ok()) << master.status();
  EXPECT_EQ(master->address.host, "db.example");
}

TEST(RedisPlaceTest, SentinelsHaveAPortOfTheirOwnAndTheMasterTheCredentials) {
  const auto place = Place::Parse("sentinel://app:se%40cret@a.example,b.example:7001,[::1]/main.1");
  ASSERT_TRUE(place.ok()) << place.status();
  ASSERT_EQ(place->sentinels.size(), 3u);
  EXPECT_EQ(place->name, "main.1");
  EXPECT_EQ(place->sentinels[0].port, 26379);
  EXPECT_EQ(place->sentinels[1].port, 7001);
  EXPECT_EQ(place->sentinels[2].host, "::1");
  EXPECT_EQ(place->sentinels[2].port, 26379);
  for (const Address& sentinel : place->sentinels) {
    EXPECT_EQ(sentinel.password, "");
  }
  EXPECT_EQ(place->address.user, "app");
  EXPECT_EQ(place->address.password, "se@cret");
  EXPECT_EQ(place->ToString(), "sentinel://a.example:26379,b.example:7001,[::1]:26379/main.1");
}

TEST(RedisPlaceTest, ByTlsAreAllOfThem) {
  auto place = Place::Parse("rediss-sentinel://u:hunter2@a,[::1]:7001/m");
  ASSERT_TRUE(place.ok()) << place.status();
  EXPECT_TRUE(place->is_by_tls());
  place->UseTls({.ca_file = "ca", .cert_file = "", .key_file = "", .server_name = ""});
  EXPECT_EQ(place->address.tls->ca_file, "ca");
  ASSERT_EQ(place->sentinels.size(), 2u);
  for (const Address& sentinel : place->sentinels) {
    EXPECT_EQ(sentinel.tls->ca_file, "ca");
  }
  EXPECT_EQ(place->ToString(), "rediss-sentinel://a:26379,[::1]:7001/m");
  EXPECT_EQ(Place::Redacted("rediss-sentinel://u:hunter2@a/m"), "rediss-sentinel://***:***@a/m");
  EXPECT_FALSE(Place::Parse("sentinel://a/m")->is_by_tls());
}

TEST(RedisPlaceTest, TheRedisPortIsNoSentinelsPortUnlessItIsGiven) {
  EXPECT_EQ(Place::Parse("sentinel://a:6379/m")->sentinels[0].port, 6379);
  EXPECT_EQ(Place::Parse("sentinel://a/m")->sentinels[0].port, 26379);
}

TEST(RedisPlaceTest, RefusesWhatIsNoneAndRepeatsNoPassword) {
  for (const char* bad :
       {"sentinel://", "sentinel://a", "sentinel://a/", "sentinel:///m", "sentinel://a,/m",
        "sentinel://,a/m", "sentinel://a/m/n", "sentinel://a/m?x=1", "sentinel://a:0/m",
        "sentinel://a:70000/m", "sentinel://a b:x/m", "sentinel://u@a/m", "sentinel://u:hunter2@/m",
        "sentinel://u:hunter2%@a/m", "sentinels://a/m"}) {
    const auto place = Place::Parse(bad);
    ASSERT_FALSE(place.ok()) << bad;
    EXPECT_TRUE(absl::IsInvalidArgument(place.status())) << bad;
    EXPECT_THAT(base::MessageOf(place.status()), ::testing::Not(::testing::HasSubstr("hunter2")));
  }
  std::string many = "sentinel://a";
  for (size_t i = 0; i < Place::kSentinelsMax; ++i) {
    many += ",a";
  }
  EXPECT_FALSE(Place::Parse(many + "/m").ok());
}

TEST(RedisPlaceTest, RedactsWhatMayBeSecretAndStaysAPlace) {
  EXPECT_EQ(Place::Redacted("sentinel://u:hun@ter2@a,b/m"), "sentinel://***:***@a,b/m");
  EXPECT_TRUE(Place::Parse(Place::Redacted("sentinel://u:hunter2@a,b/m")).ok());
  EXPECT_EQ(Place::Redacted("sentinel://a,b/m"), "sentinel://a,b/m");
  EXPECT_EQ(Place::Redacted("sentinel://u:hunter2@a,b"), "***");
  EXPECT_EQ(Place::Redacted("redis://u:hunter2@a"), "redis://***:***@a");
}

TEST(RedisInfoTest, CountsReplicasThatFollow) {
  const Replication replication = ReadReplication(
      "# Replication\r\nrole:master\r\nconnected_slaves:4\r\n"
      "slave0:ip=127.0.0.1,port=1,state=online,offset=14,lag=0\r\n"
      "slave1:ip=127.0.0.1,port=2,state=wait_bgsave,offset=0,lag=0\r\n"
      "slave2:ip=127.0.0.1,port=3,state=online,offset=14,lag=11\r\n"
      "slave10:ip=127.0.0.1,port=4,state=online,offset=14,lag=10\r\n"
      "slave_read_only:1\r\nslaves:ip=x,state=online,lag=0\r\nmaster_replid:ab\r\n");
  EXPECT_TRUE(replication.is_master);
  EXPECT_EQ(replication.in_sync, 2u);
  EXPECT_FALSE(ReadReplication("role:slave\r\nmaster_host:x\r\n").is_master);
  EXPECT_FALSE(ReadReplication("").is_master);
}

}  // namespace
}  // namespace klatch::redis
