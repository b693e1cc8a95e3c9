// Parsing the address of a Redis.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/redis/address.h"

namespace klatch::redis {
namespace {

TEST(RedisAddressTest, ParsesHostPortUserAndPassword) {
  auto address = Address::Parse("redis://app:p%40ss%3A@db.example:7000");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(address->host, "db.example");
  EXPECT_EQ(address->port, 7000);
  EXPECT_EQ(address->user, "app");
  EXPECT_EQ(address->password, "p@ss:");
  EXPECT_FALSE(address->is_unix());
}

TEST(RedisAddressTest, PortIsOptionalAndUserMayBeEmpty) {
  auto address = Address::Parse("redis://:secret@localhost");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(address->port, 6379);
  EXPECT_EQ(address->user, "");
  EXPECT_EQ(address->password, "secret");
}

TEST(RedisAddressTest, ParsesIpv6InBracketsOnly) {
  auto address = Address::Parse("redis://[::1]:6380");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(address->host, "::1");
  EXPECT_EQ(address->port, 6380);
  EXPECT_EQ(address->ToString(), "redis://[::1]:6380");
  EXPECT_EQ(Address::Parse("redis://[::1]")->port, 6379);
  EXPECT_FALSE(Address::Parse("redis://::1").ok());
}

TEST(RedisAddressTest, ParsesSocketPathsWithAndWithoutPassword) {
  EXPECT_EQ(Address::Parse("unix:///run/redis.sock")->socket_path, "/run/redis.sock");
  EXPECT_EQ(Address::Parse("unix:run/redis.sock")->socket_path, "run/redis.sock");
  auto address = Address::Parse("unix://app:secret@/run/redis.sock");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(address->socket_path, "/run/redis.sock");
  EXPECT_EQ(address->password, "secret");
}

TEST(RedisAddressTest, NeitherTextNorErrorsHoldThePassword) {
  EXPECT_THAT(Address::Parse("redis://u:hunter2@h:1")->ToString(),
              ::testing::Not(::testing::HasSubstr("hunter2")));
  for (const char* bad : {"redis://u:hunter2@", "redis://u:hunter2@h:0", "http://u:hunter2@h",
                          "redis://u:hunter2%@h", "redis://u:hunter2@h/3"}) {
    auto address = Address::Parse(bad);
    ASSERT_FALSE(address.ok()) << bad;
    EXPECT_THAT(base::MessageOf(address.status()), ::testing::Not(::testing::HasSubstr("hunter2")));
  }
}

TEST(RedisAddressTest, RedactsWhatMayBeSecretAndStaysAnAddress) {
  EXPECT_EQ(Address::Redacted("redis://u:hun@ter2@h:1"), "redis://***:***@h:1");
  EXPECT_EQ(Address::Redacted("redis://:hunter2@[::1]"), "redis://***:***@[::1]");
  EXPECT_EQ(Address::Redacted("unix://u:hunter2@/run/a@b"), "unix://***:***@/run/a@b");
  EXPECT_TRUE(Address::Parse("redis://***:***@h:1").ok());
  for (const char* open : {"redis://h:1", "unix:///run/a@b", "unix:run/a", ""}) {
    EXPECT_EQ(Address::Redacted(open), open);
  }
  // The host was forgotten, the scheme mistyped.
  for (const char* bad : {"redis://:hunter2", "rdis://u:hunter2@h", "hunter2"}) {
    EXPECT_EQ(Address::Redacted(bad), "***");
  }
}

TEST(RedisAddressTest, TlsIsAnotherScheme) {
  EXPECT_FALSE(Address::Parse("redis://h")->tls.has_value());
  const auto address = Address::Parse("rediss://u:hunter2@h:1");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_TRUE(address->tls.has_value());
  EXPECT_EQ(address->ToString(), "rediss://u@h:1");
  EXPECT_EQ(Address::Redacted("rediss://u:hunter2@h:1"), "rediss://***:***@h:1");
}

TEST(RedisAddressTest, RefusesWhatItCannotMean) {
  for (std::string_view bad : {"",
                               "localhost",
                               "localhost:6379",
                               "redis://",
                               "redis://:6379",
                               "redis://h:",
                               "redis://h:0",
                               "redis://h:65536",
                               "redis://h:12x",
                               "redis://h:-1",
                               "redis://h/0",
                               "redis://h?x=1",
                               "redis://me@h",
                               "redis://me:@h",
                               "redis://[::1",
                               "redis://[::1]x",
                               "rediss://",
                               "unix:",
                               "unix://",
                               "unix://relative"}) {
    auto address = Address::Parse(bad);
    EXPECT_TRUE(absl::IsInvalidArgument(address.status())) << bad;
  }
  EXPECT_FALSE(Address::Parse("unix:/" + std::string(107, 'x')).ok());
  EXPECT_TRUE(Address::Parse("unix:/" + std::string(106, 'x')).ok());
  EXPECT_FALSE(Address::Parse(std::string_view("unix:/a\0b", 9)).ok());
}

}  // namespace
}  // namespace klatch::redis
