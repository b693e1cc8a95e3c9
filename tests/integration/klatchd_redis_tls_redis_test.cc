// A klatchd whose Redis is reached by TLS.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"
#include "tests/integration/tls_files.h"

namespace klatch::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class KlatchdRedisTlsTest : public ::testing::Test {
 protected:
  std::vector<std::string> Arguments(const std::string& host) const {
    return {"--shards",         "4",
            "--partitions",     "4",
            "--workers",        "1",
            "--redis",          fmt::format("rediss://:secret@{}:{}", host, port_),
            "--redis-tls-ca",   files_.Path("ca.crt"),
            "--redis-tls-cert", files_.Path("klatch.crt"),
            "--redis-tls-key",  files_.Path("klatch.key")};
  }
  std::vector<std::string> ServerArguments() const {
    std::vector<std::string> arguments = files_.ServerArguments(port_);
    arguments.insert(arguments.end(), {"--requirepass", "secret"});
    return arguments;
  }

  const TlsFiles files_;
  const int port_ = FreePort();
};

TEST_F(KlatchdRedisTlsTest, PostsAreDeliveredAndStayAcrossRestartsOfBoth) {
  RedisServer redis(
      {.persistence = RedisServer::Persistence::kAppendOnly, .arguments = ServerArguments()});
  Klatchd klatchd({.arguments = Arguments("localhost")});
  Client client(klatchd.Channel());
  ASSERT_THAT(client.CreateGroup("ann", "g"), Succeeds());
  ASSERT_THAT(client.Add("ann", "g", {"bob"}), Succeeds());
  const auto first = client.Publish("ann", "g", "one");
  ASSERT_THAT(first, Succeeds());
  EXPECT_THAT(TextsOf(*client.Home("bob", first->tokens())), ElementsAre("one"));
  redis.Kill();
  redis.Start();
  Answer<v1::PublishUpdateResponse> second;
  ASSERT_TRUE(Eventually([&] {
    second = client.Publish("ann", "g", "two");
    return second.ok();
  }));
  EXPECT_EQ(klatchd.Terminate(), 0) << klatchd.process().errors();
  klatchd.Start();
  Client again(klatchd.Channel());
  EXPECT_THAT(TextsOf(*again.Home("bob", second->tokens())), ElementsAre("two", "one"));
  EXPECT_EQ(klatchd.Terminate(), 0) << klatchd.process().errors();
}

TEST_F(KlatchdRedisTlsTest, ARedisThatIsNotTrustedIsWaitedForAndNamed) {
  RedisServer redis({.arguments = ServerArguments()});
  std::vector<std::string> arguments = Arguments("localhost");
  arguments.insert(arguments.end(), {"--redis-tls-server-name", "elsewhere.example.org"});
  Klatchd other({.arguments = arguments, .begin = Klatchd::Begin::kNotStarted});
  other.Launch();
  other.AwaitMetrics();
  EXPECT_TRUE(Eventually([&] {
    return other.process().errors().find("the certificate is not trusted: hostname mismatch") !=
           std::string::npos;
  })) << other.process().errors();
  EXPECT_THAT(other.process().errors(), ::testing::Not(HasSubstr("secret")));
  EXPECT_EQ(other.Get("/readyz").first, 503);
  other.Terminate();
}

TEST_F(KlatchdRedisTlsTest, FilesThatCannotBeUsedEndItWithOneLine) {
  const std::string rediss = fmt::format("rediss://localhost:{}", port_);
  const std::vector<std::pair<std::vector<std::string>, std::string>> rows = {
      {{"--redis", rediss, "--redis-tls-ca", files_.Path("none")},
       "none: holds no certificates in PEM"},
      {{"--redis", rediss, "--redis-tls-cert", files_.Path("none"), "--redis-tls-key",
        files_.Path("klatch.key")},
       "none: holds no certificate in PEM"},
      {{"--redis", rediss, "--redis-tls-cert", files_.Path("klatch.crt"), "--redis-tls-key",
        files_.Path("redis.key")},
       "redis.key: holds no private key of the certificate"},
      {{"--redis", rediss, "--redis-tls-cert", files_.Path("klatch.crt")},
       "--redis-tls-cert and --redis-tls-key need each other"},
      {{"--redis", "redis://localhost", "--redis-tls-ca", files_.Path("ca.crt")},
       "--redis-tls-ca needs --redis with rediss://"},
      {{"--redis-tls-server-name", "x"}, "--redis-tls-server-name needs --redis with rediss://"},
  };
  for (const auto& [arguments, message] : rows) {
    EXPECT_THAT(ComplaintAbout(arguments), HasSubstr(message));
  }
}

}  // namespace
}  // namespace klatch::testing
