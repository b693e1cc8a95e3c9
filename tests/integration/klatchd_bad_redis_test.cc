// A klatchd and peers that answer as no Redis may (QUALITY: Bad inputs, Redis): at its start, and
// in the place of a Redis that it served from. No crash, no wrong answer, and a word that says why.

#include <fmt/format.h>

#include "tests/integration/fake_peer.h"
#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {
namespace {

using ::testing::HasSubstr;

constexpr int kExitGood = 0;
constexpr int kExitConfiguration = 2;

struct BadAnswer {
  std::string name;
  std::string bytes;
};

const std::vector<BadAnswer>& Absurd() {
  static const auto& answers = *new std::vector<BadAnswer>{
      {"negative length", "$-5\r\n"},
      {"huge array", "*999999999\r\n"},
      {"overflowing array", "*9223372036854775807\r\n"},
      {"deep array", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"},
      {"huge bulk", "$99999999999999999999\r\nabc"},
      {"no number", ":x\r\n"},
      {"binary", std::string("\x15\x03\x01\x00\x02\x02\x0a", 7)},
      {"answers that nobody asked for", ":1\r\n:2\r\n:3\r\n"},
  };
  return answers;
}

const std::vector<BadAnswer>& Truncated() {
  static const auto& answers = *new std::vector<BadAnswer>{
      {"truncated bulk", "$10\r\nabc"},
      {"truncated array", "*2\r\n$1\r\na\r\n"},
      {"truncated line", "+PON"},
      {"bulk that never comes", "$400000000\r\nabc"},
  };
  return answers;
}

TEST(KlatchdBadRedisTest, AbsurdAnswersAtTheStartAreRefusedAsNoRedis) {
  for (const BadAnswer& answer : Absurd()) {
    SCOPED_TRACE(answer.name);
    FakePeer peer(answer.bytes, FakePeer::Then::kHoldOpen);
    Klatchd klatchd({.arguments = {"--redis", peer.address().ToString()},
                     .listen = Klatchd::Listen::kUnixSocket,
                     .begin = Klatchd::Begin::kNotStarted});
    klatchd.Launch();
    EXPECT_EQ(klatchd.process().AwaitEnd(), kExitConfiguration) << klatchd.process().errors();
    EXPECT_THAT(klatchd.process().errors(), HasSubstr("not a Redis"));
  }
}

TEST(KlatchdBadRedisTest, TruncatedAnswersAtTheStartAreWaitedOut) {
  for (const BadAnswer& answer : Truncated()) {
    SCOPED_TRACE(answer.name);
    FakePeer peer(answer.bytes, FakePeer::Then::kClose);
    Klatchd klatchd({.arguments = {"--redis", peer.address().ToString()},
                     .listen = Klatchd::Listen::kUnixSocket,
                     .begin = Klatchd::Begin::kNotStarted});
    klatchd.Launch();
    klatchd.AwaitMetrics();
    EXPECT_TRUE(Eventually([&] {
      return klatchd.Get("/readyz").second.find(peer.address().socket_path) != std::string::npos;
    })) << klatchd.process().errors();
    EXPECT_EQ(klatchd.Terminate(), kExitGood) << klatchd.process().errors();
  }
}

TEST(KlatchdBadRedisTest, RedisThatIsTooOldIsRefusedByItsVersion) {
  const std::string info = "redis_version:6.2.14\r\nredis_mode:standalone\r\nrole:master\r\n";
  FakePeer peer(fmt::format("${}\r\n{}\r\n", info.size(), info), FakePeer::Then::kHoldOpen);
  Klatchd klatchd({.arguments = {"--redis", peer.address().ToString()},
                   .listen = Klatchd::Listen::kUnixSocket,
                   .begin = Klatchd::Begin::kNotStarted});
  klatchd.Launch();
  EXPECT_EQ(klatchd.process().AwaitEnd(), kExitConfiguration) << klatchd.process().errors();
  EXPECT_THAT(klatchd.process().errors(), HasSubstr("Redis 6.2.14 is too old"));
}

int TimesServed(Klatchd& klatchd) {
  const std::string log = klatchd.process().errors();
  int times = 0;
  for (size_t at = 0; (at = log.find(R"("msg":"serving")", at)) != std::string::npos; ++at) {
    ++times;
  }
  return times;
}

// Every connection of a klatchd that serves gets garbage for a while.
TEST(KlatchdBadRedisTest, GarbageWhileItServesCrashesNothingAndIsSurvived) {
  RedisServer redis({.persistence = RedisServer::Persistence::kAppendOnly, .arguments = {}});
  Klatchd klatchd({.arguments = {"--redis", redis.address().ToString(), "--lease-duration", "1s",
                                 "--flush-interval", "200ms"}});
  Client client(klatchd.Channel());
  ASSERT_THAT(client.CreateGroup("ann", "noise"), Succeeds());
  std::vector<BadAnswer> answers = Absurd();
  answers.insert(answers.end(), Truncated().begin(), Truncated().end());
  int starts = 1;
  for (const BadAnswer& answer : answers) {
    SCOPED_TRACE(answer.name);
    redis.Kill();
    std::filesystem::remove(redis.address().socket_path);
    {
      FakePeer peer(answer.bytes, FakePeer::Then::kClose, redis.address().socket_path);
      EXPECT_TRUE(Eventually([&] { return peer.answered() > 2; }));
      EXPECT_EQ(klatchd.Get("/livez").first, 200);
      EXPECT_TRUE(Eventually([&] { return klatchd.Get("/readyz").first == 503; }));
      EXPECT_FALSE(client.Publish("ann", "noise", "into the noise").ok());
    }
    ASSERT_TRUE(klatchd.process().running()) << klatchd.process().errors();
    // It notices that the Redis has been restarted, loads from it, and serves again.
    redis.Start();
    ++starts;
    ASSERT_TRUE(Eventually([&] { return TimesServed(klatchd) == starts; }))
        << klatchd.process().errors();
    EXPECT_TRUE(Eventually([&] { return klatchd.Get("/readyz").first == 200; }));
  }
  // The first call finds the connection to the server of before, which nobody has looked at since.
  const auto request = Client::Post("ann", "noise", "quiet again");
  Answer<v1::PublishUpdateResponse> posted;
  ASSERT_TRUE(Eventually([&] {
    posted = client.Publish(request);
    return posted.ok();
  })) << posted.status.error_message();
  EXPECT_EQ(TextsOf(*client.Home("ann", posted->tokens())).front(), "quiet again");
  EXPECT_EQ(klatchd.Terminate(), kExitGood) << klatchd.process().errors();
}

}  // namespace
}  // namespace klatch::testing
