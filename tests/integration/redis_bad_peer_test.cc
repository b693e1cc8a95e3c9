// Connection and Pipeline against peers that break the protocol or say nothing: an error, in
// bounded time, never a crash.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <string>
#include <vector>

#include "common/redis/connection.h"
#include "common/redis/pipeline.h"
#include "tests/integration/fake_peer.h"

namespace klatch::redis {
namespace {

using std::chrono::milliseconds;
using testing::FakePeer;

Pipeline::Replies CallOnPipeline(Pipeline& pipeline, std::vector<Command> commands) {
  std::promise<Pipeline::Replies> promise;
  pipeline.Submit(std::move(commands),
                  [&](Pipeline::Replies r) { promise.set_value(std::move(r)); });
  return promise.get_future().get();
}

struct BadAnswer {
  std::string name;
  std::string bytes;
};

class BadAnswerTest : public ::testing::TestWithParam<BadAnswer> {};

TEST_P(BadAnswerTest, ConnectionFailsWithUnavailableAndCloses) {
  FakePeer peer(GetParam().bytes, FakePeer::Then::kClose);
  Connection::Options options;
  options.call_timeout = milliseconds(300);
  auto connection = Connection::Connect(peer.address(), options);
  ASSERT_TRUE(connection.ok()) << connection.status();
  absl::Status status = (*connection)->Call({"PING"}).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_FALSE((*connection)->connected());
}

TEST_P(BadAnswerTest, PipelineFailsWithOutcomeUnknown) {
  FakePeer peer(GetParam().bytes, FakePeer::Then::kHoldOpen);
  Pipeline::Options options;
  options.call_timeout = milliseconds(300);
  SocketPipeline pipeline(peer.address(), options);
  absl::Status status = CallOnPipeline(pipeline, {{"PING"}}).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(base::ReasonOf(status), "OUTCOME_UNKNOWN");
}

INSTANTIATE_TEST_SUITE_P(
    Absurd, BadAnswerTest,
    ::testing::Values(
        BadAnswer{"NegativeLength", "$-5\r\n"}, BadAnswer{"HugeArray", "*999999999\r\n"},
        BadAnswer{"OverflowingArray", "*9223372036854775807\r\n"},
        BadAnswer{"HugeNestedArray", "*1\r\n*999999999\r\n"}, BadAnswer{"NegativeArray", "*-7\r\n"},
        BadAnswer{"DeepArray",
                  "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"
                  "*1\r\n*1\r\n*1\r\n"},
        BadAnswer{"HugeBulk", "$99999999999999999999\r\nabc"},
        BadAnswer{"LongBulkThatNeverComes", "$1000000000000\r\nabc"},
        BadAnswer{"NoNumber", ":x\r\n"}, BadAnswer{"Http", "HTTP/1.1 400 Bad\r\n\r\n"},
        BadAnswer{"Binary", std::string("\x15\x03\x01\x00\x02\x02\x0a", 7)},
        BadAnswer{"TruncatedBulk", "$10\r\nabc"}, BadAnswer{"TruncatedArray", "*2\r\n$1\r\na\r\n"},
        BadAnswer{"TruncatedLine", "+PON"}),
    [](const auto& param) { return param.param.name; });

TEST(BadPeerTest, ReplyThatNobodyAskedForBreaksTheConnection) {
  FakePeer peer("+PONG\r\n+AGAIN\r\n", FakePeer::Then::kHoldOpen);
  Connection::Options options;
  options.call_timeout = milliseconds(300);
  auto connection = Connection::Connect(peer.address(), options);
  ASSERT_TRUE(connection.ok());
  EXPECT_FALSE((*connection)->Call({"PING"}).ok());
}

TEST(BadPeerTest, PeerThatNeverAnswersEndsConnectWithinItsTimeout) {
  FakePeer peer("", FakePeer::Then::kHoldOpen);
  Address address = peer.address();
  address.password = "secret";
  Connection::Options options;
  options.call_timeout = milliseconds(100);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(absl::IsUnavailable(Connection::Connect(address, options).status()));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(2000));
}

TEST(BadPeerTest, PeerOfAnotherProtocolIsNotTakenForRedisWhenAuthenticating) {
  FakePeer peer("SSH-2.0-OpenSSH_9.2\r\n", FakePeer::Then::kHoldOpen);
  Address address = peer.address();
  address.password = "secret";
  absl::Status status = Connection::Connect(address, {}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
}

TEST(BadPeerTest, PipelineThatNeverAuthenticatesFailsCallsAsNotSent) {
  FakePeer peer("", FakePeer::Then::kHoldOpen);
  Address address = peer.address();
  address.password = "secret";
  Pipeline::Options options;
  options.call_timeout = milliseconds(5000);
  options.connect_timeout = milliseconds(50);
  SocketPipeline pipeline(address, options);
  absl::Status status = CallOnPipeline(pipeline, {{"PING"}}).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(base::ReasonOf(status), "NOT_SENT");
  EXPECT_FALSE(pipeline.connected());
}

TEST(BadPeerTest, ReadOnlyReplyIsDeliveredAndThePipelineConnectsAnew) {
  // The peer answers the first bytes of each connection only: the second call needs a new one.
  FakePeer peer("-READONLY You can't write against a read only replica.\r\n",
                FakePeer::Then::kHoldOpen);
  SocketPipeline pipeline(peer.address(), {});
  for (int answered = 0; answered < 3;) {
    auto replies = CallOnPipeline(pipeline, {{"SET", "k", "v"}});
    if (replies.ok()) {
      EXPECT_TRUE((*replies)[0].is_error());
      ++answered;
    } else {
      EXPECT_EQ(base::ReasonOf(replies.status()), "NOT_SENT") << replies.status();
    }
  }
}

}  // namespace
}  // namespace klatch::redis
