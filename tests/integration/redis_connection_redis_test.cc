// The blocking connection against a real redis-server.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "common/redis/channel.h"
#include "common/redis/connection.h"
#include "tests/integration/redis_server_fixture.h"

namespace klatch::redis {
namespace {

using std::chrono::milliseconds;

const Script& EchoScript() {
  static const Script* const script = new Script("echo", "return {KEYS[1], ARGV[1]}");
  return *script;
}

class ConnectionRedisTest : public testing::RedisTest {};

TEST_F(ConnectionRedisTest, CallReturnsReply) {
  auto connection = Connect();
  ASSERT_TRUE(connection->Call({"SET", "k", std::string("a\0\r\nb", 5)}).ok());
  auto reply = connection->Call({"GET", "k"});
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->text(), std::string_view("a\0\r\nb", 5));
  EXPECT_TRUE(connection->Call({"GET", "absent"})->is_nil());
}

TEST_F(ConnectionRedisTest, CallTurnsErrorReplyIntoStatusAndStaysConnected) {
  auto connection = Connect();
  ASSERT_TRUE(connection->Call({"SET", "k", "v"}).ok());
  EXPECT_EQ(connection->Call({"HGETALL", "k"}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(connection->Call({"NO SUCH COMMAND"}).status().code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(connection->connected());
  EXPECT_EQ(connection->Call({"PING"})->text(), "PONG");
}

TEST_F(ConnectionRedisTest, CallAllKeepsOrderOverBatchLargerThanAllBuffers) {
  // 64 MiB each way: without interleaving both sides would wait for each other to read.
  constexpr size_t kCommands = 4096;
  std::vector<Command> commands;
  for (size_t i = 0; i < kCommands; ++i) {
    std::string payload(16384, static_cast<char>('a' + i % 26));
    payload += std::to_string(i);
    commands.push_back({"ECHO", payload});
  }
  auto connection = Connect();
  auto replies = connection->CallAll(commands);
  ASSERT_TRUE(replies.ok()) << replies.status();
  ASSERT_EQ(replies->size(), kCommands);
  for (size_t i = 0; i < kCommands; ++i) {
    ASSERT_EQ((*replies)[i].text(), commands[i].args[1]);
  }
}

TEST_F(ConnectionRedisTest, CallAllOfNothingReturnsNothing) {
  auto connection = Connect();
  EXPECT_EQ(connection->CallAll({})->size(), 0u);
}

TEST_F(ConnectionRedisTest, ErrorRepliesStandInTheirPlacesInCallAll) {
  auto connection = Connect();
  const std::vector<Command> commands = {{"PING"}, {"NOPE"}, {"PING"}};
  auto replies = connection->CallAll(commands);
  ASSERT_TRUE(replies.ok());
  EXPECT_EQ((*replies)[0].text(), "PONG");
  EXPECT_TRUE((*replies)[1].is_error());
  EXPECT_EQ((*replies)[2].text(), "PONG");
}

TEST_F(ConnectionRedisTest, ScriptRunsAfterScriptFlushAndRepliesKeepTheirPlaces) {
  auto connection = Connect();
  auto first = connection->Call(Command::Eval(EchoScript(), {"k"}, {"1"}));
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_EQ((*first)[1].text(), "1");
  ASSERT_TRUE(connection->Call({"SCRIPT", "FLUSH"}).ok());
  const std::vector<Command> commands = {{"ECHO", "a"},
                                         Command::Eval(EchoScript(), {"k"}, {"2"}),
                                         {"ECHO", "b"},
                                         Command::Eval(EchoScript(), {"k"}, {"3"}),
                                         {"ECHO", "c"}};
  auto replies = connection->CallAll(commands);
  ASSERT_TRUE(replies.ok()) << replies.status();
  EXPECT_EQ((*replies)[0].text(), "a");
  EXPECT_EQ((*replies)[1][1].text(), "2");
  EXPECT_EQ((*replies)[2].text(), "b");
  EXPECT_EQ((*replies)[3][1].text(), "3");
  EXPECT_EQ((*replies)[4].text(), "c");
  ASSERT_TRUE(connection->Call({"SCRIPT", "FLUSH"}).ok());
  EXPECT_EQ((*connection->Call(Command::Eval(EchoScript(), {"k"}, {"4"})))[1].text(), "4");
}

TEST_F(ConnectionRedisTest, ScriptsWithAnErrorReportItOnceAndForAll) {
  const Script broken("broken", "this is not Lua");
  auto connection = Connect();
  EXPECT_EQ(connection->Call(Command::Eval(broken, {}, {})).status().code(),
            absl::StatusCode::kInternal);
  EXPECT_EQ(connection->Call(Command::Eval(broken, {}, {})).status().code(),
            absl::StatusCode::kInternal);
  EXPECT_EQ(connection->Call({"PING"})->text(), "PONG");
}

TEST_F(ConnectionRedisTest, SilentServerEndsCallWithinItsTimeout) {
  Connection::Options options;
  options.call_timeout = milliseconds(100);
  auto connection = server_.Connect(options);
  server_.Freeze();
  const auto begin = std::chrono::steady_clock::now();
  absl::Status status = connection->Call({"PING"}).status();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(2000));
  server_.Thaw();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(base::ReasonOf(status), "OUTCOME_UNKNOWN");
  EXPECT_FALSE(connection->connected());
  EXPECT_EQ(base::ReasonOf(connection->Call({"PING"}).status()), "NOT_SENT");
  ASSERT_TRUE(connection->Reconnect().ok());
  EXPECT_EQ(connection->Call({"PING"})->text(), "PONG");
}

TEST_F(ConnectionRedisTest, KilledServerBreaksConnectionAndReconnectBringsItBack) {
  auto connection = Connect();
  server_.Kill();
  EXPECT_TRUE(absl::IsUnavailable(connection->Call({"PING"}).status()));
  absl::Status refused = connection->Reconnect();
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  EXPECT_EQ(base::ReasonOf(refused), "NOT_SENT");
  server_.Start();
  ASSERT_TRUE(connection->Reconnect().ok());
  EXPECT_EQ(connection->Call(Command::Eval(EchoScript(), {"k"}, {"x"}))->size(), 2u);
}

TEST_F(ConnectionRedisTest, SocketPathBeyondTheLimitIsRefusedNotCut) {
  Address address;
  address.socket_path = "/" + std::string(200, 'x');
  EXPECT_TRUE(absl::IsInvalidArgument(Connection::Connect(address, {}).status()));
}

class PasswordRedisTest : public testing::RedisTest {
 protected:
  static testing::RedisServer::Options WithPassword() {
    testing::RedisServer::Options options;
    options.arguments = {"--requirepass", "se cret"};
    return options;
  }
  PasswordRedisTest() : RedisTest(WithPassword()) {}
};

TEST_F(PasswordRedisTest, RightPasswordConnectsWithAndWithoutUser) {
  Address address = server_.address();
  address.password = "se cret";
  EXPECT_TRUE(Connection::Connect(address, {}).ok());
  address.user = "default";
  EXPECT_TRUE(Connection::Connect(address, {}).ok());
}

TEST_F(PasswordRedisTest, WrongPasswordIsPermissionDeniedAndNotRepeatedInTheMessage) {
  Address address = server_.address();
  address.password = "hunter2";
  absl::Status status = Connection::Connect(address, {}).status();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(base::MessageOf(status), ::testing::Not(::testing::HasSubstr("hunter2")));
}

TEST_F(PasswordRedisTest, MissingPasswordIsNoFaultOfWhoeverCalls) {
  auto connection = Connect();
  const absl::Status status = connection->Call({"GET", "k"}).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_TRUE(RefusesUser(status));
  EXPECT_FALSE(RefusesUser(absl::UnavailableError("Redis: LOADING")));
}

TEST_F(ConnectionRedisTest, ACutEndsACallThatWaitsAndAllThatCome) {
  Cutoff cutoff;
  auto connection = server_.Connect({.cutoff = &cutoff});
  ASSERT_TRUE(connection->Call({"PING"}).ok());
  server_.Freeze();
  std::thread cutter([&] {
    std::this_thread::sleep_for(milliseconds(50));
    cutoff.Cut();
  });
  const auto begin = std::chrono::steady_clock::now();
  const absl::Status status = connection->Call({"PING"}).status();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
  cutter.join();
  server_.Thaw();
  EXPECT_EQ(base::ReasonOf(status), "OUTCOME_UNKNOWN") << status;
  EXPECT_FALSE(connection->connected());
  EXPECT_EQ(base::ReasonOf(connection->Reconnect()), "NOT_SENT");
}

}  // namespace
}  // namespace klatch::redis
