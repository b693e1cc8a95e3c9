// Which servers Klatch accepts, and what it says about the others.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "common/redis/probe.h"
#include "tests/integration/fake_peer.h"
#include "tests/integration/redis_server_fixture.h"

namespace klatch::redis {
namespace {

using testing::FakePeer;
using ::testing::HasSubstr;
using testing::RedisServer;

constexpr Connection::Options kOptions = {.connect_timeout = std::chrono::milliseconds(1000),
                                          .call_timeout = std::chrono::milliseconds(500)};

RedisServer::Options With(std::vector<std::string> arguments) {
  RedisServer::Options options;
  options.arguments = std::move(arguments);
  return options;
}

std::string Bulk(const std::string& text) {
  return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n";
}

TEST(ProbeRedisTest, PlainServerIsAcceptedWithItsFacts) {
  RedisServer server;
  auto facts = Probe(server.address(), kOptions);
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->process_id, server.process_id());
  EXPECT_EQ(facts->mode, "standalone");
  EXPECT_EQ(facts->maxmemory_policy, "noeviction");
  EXPECT_FALSE(facts->append_only);
  EXPECT_FALSE(facts->run_id.empty());
  EXPECT_TRUE(std::filesystem::equivalent(facts->directory, server.directory()));
}

TEST(ProbeRedisTest, EvictionPolicyIsRefused) {
  RedisServer server(With({"--maxmemory-policy", "allkeys-lru"}));
  absl::Status status = Probe(server.address(), kOptions).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(base::MessageOf(status), HasSubstr("set maxmemory-policy noeviction"));
}

TEST(ProbeRedisTest, EvictionPolicyIsRefusedWhenConfigIsForbidden) {
  RedisServer server(With({"--maxmemory-policy", "allkeys-lru", "--user", "default", "on", "nopass",
                           "~*", "&*", "+@all", "-config"}));
  absl::Status status = Probe(server.address(), kOptions).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(base::MessageOf(status), HasSubstr("set maxmemory-policy noeviction"));
}

TEST(ProbeRedisTest, ForbiddenConfigAloneIsNoReasonToRefuse) {
  RedisServer server(With({"--user", "default", "on", "nopass", "~*", "&*", "+@all", "-config"}));
  auto facts = Probe(server.address(), kOptions);
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->directory, "");
}

TEST(ProbeRedisTest, ForbiddenInfoIsPermissionDenied) {
  RedisServer server(With({"--user", "default", "on", "nopass", "~*", "&*", "+@all", "-info"}));
  absl::Status status = Probe(server.address(), kOptions).status();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(base::MessageOf(status), HasSubstr("may not run INFO"));
}

TEST(ProbeRedisTest, ReplicaIsRefusedWithItsMaster) {
  RedisServer server(With({"--replicaof", "127.0.0.1 1"}));
  absl::Status status = Probe(server.address(), kOptions).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(base::MessageOf(status), HasSubstr("a replica of 127.0.0.1:1"));
}

TEST(ProbeRedisTest, MissingPasswordSaysSo) {
  RedisServer server(With({"--requirepass", "secret"}));
  absl::Status status = Probe(server.address(), kOptions).status();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(base::MessageOf(status), HasSubstr("needs a password"));
}

TEST(ProbeRedisTest, WrongPasswordSaysSo) {
  RedisServer server(With({"--requirepass", "secret"}));
  Address address = server.address();
  address.password = "wrong";
  absl::Status status = Probe(address, kOptions).status();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(base::MessageOf(status), HasSubstr("refuses user or password"));
}

TEST(ProbeRedisTest, PasswordThatNobodyAskedForSaysSo) {
  RedisServer server;
  Address address = server.address();
  address.password = "secret";
  absl::Status status = Probe(address, kOptions).status();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
}

TEST(ProbeRedisTest, AbsentServerIsRetryable) {
  Address address;
  address.socket_path = "/nonexistent/klatch.sock";
  EXPECT_TRUE(absl::IsUnavailable(Probe(address, kOptions).status()));
}

TEST(ProbeRedisTest, FrozenServerIsRetryable) {
  RedisServer server;
  server.Freeze();
  absl::Status status = Probe(server.address(), kOptions).status();
  server.Thaw();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

struct Peer {
  std::string name;
  std::string answer;
  absl::StatusCode code;
  std::string says;
};

class ProbeOfPeerTest : public ::testing::TestWithParam<Peer> {};

TEST_P(ProbeOfPeerTest, IsRefusedWithItsReason) {
  FakePeer peer(GetParam().answer, FakePeer::Then::kHoldOpen);
  absl::Status status = Probe(peer.address(), kOptions).status();
  EXPECT_EQ(status.code(), GetParam().code) << status;
  EXPECT_THAT(base::MessageOf(status), HasSubstr(GetParam().says));
}

INSTANTIATE_TEST_SUITE_P(
    All, ProbeOfPeerTest,
    ::testing::Values(
        Peer{"Http", "HTTP/1.1 400 Bad Request\r\n\r\n", absl::StatusCode::kFailedPrecondition,
             "not a Redis (wrong port?)"},
        Peer{"Sentinel", Bulk("# Server\r\nredis_version:7.0.15\r\nredis_mode:sentinel\r\n"),
             absl::StatusCode::kFailedPrecondition, "a Sentinel"},
        Peer{"Old", Bulk("redis_version:6.2.14\r\nredis_mode:standalone\r\nrole:master\r\n"),
             absl::StatusCode::kFailedPrecondition, "Redis 6.2.14 is too old"},
        Peer{"Loading",
             Bulk("redis_version:7.0.15\r\nrole:master\r\nloading:1\r\n"
                  "loading_loaded_perc:37.42\r\n"),
             absl::StatusCode::kUnavailable, "still loading its data (37 %)"},
        Peer{"OtherText", Bulk("hello"), absl::StatusCode::kFailedPrecondition, "not a Redis"},
        Peer{"Integer", ":1\r\n", absl::StatusCode::kFailedPrecondition, "not a Redis"},
        Peer{"UnknownCommand", "-ERR unknown command\r\n", absl::StatusCode::kFailedPrecondition,
             "does not answer INFO like a Redis"},
        Peer{"TooManyClients", "-ERR max number of clients reached\r\n",
             absl::StatusCode::kUnavailable, "max number of clients"}),
    [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace klatch::redis
