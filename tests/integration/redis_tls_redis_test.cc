// TLS to a real redis-server: by connections, by the shared pipeline, and to Sentinels.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "common/redis/connection.h"
#include "common/redis/pipeline.h"
#include "common/redis/place.h"
#include "tests/integration/eventually.h"
#include "tests/integration/redis_server_fixture.h"
#include "tests/integration/tls_files.h"

namespace klatch::redis {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using testing::TlsFiles;

Pipeline::Replies CallNow(Pipeline& pipeline, std::vector<Command> commands) {
  std::promise<Pipeline::Replies> promise;
  pipeline.Submit(std::move(commands),
                  [&promise](Pipeline::Replies replies) { promise.set_value(std::move(replies)); });
  return promise.get_future().get();
}

class TlsRedisTest : public ::testing::Test {
 protected:
  // By the address, with a certificate of ours unless said otherwise.
  Address At(const std::string& host, const std::string& ours = "klatch") const {
    return files_.AddressOf(host, port_, ours);
  }
  static std::string ErrorOf(const Address& address) {
    Connection::Options options;
    options.connect_timeout = milliseconds(500);
    const auto connection = Connection::Connect(address, options);
    if (!connection.ok()) {
      EXPECT_TRUE(absl::IsUnavailable(connection.status())) << connection.status();
      return base::MessageOf(connection.status());
    }
    const auto reply = (*connection)->Call({"PING"});
    return reply.ok() ? "" : base::MessageOf(reply.status());
  }

  const TlsFiles files_;
  const int port_ = testing::FreePort();
  testing::RedisServer server_{{.persistence = testing::RedisServer::Persistence::kAppendOnly,
                                .arguments = files_.ServerArguments(port_)}};
};

TEST_F(TlsRedisTest, CallsOfAnySizeAreAnswered) {
  auto connection = Connection::Connect(At("localhost"), {});
  ASSERT_TRUE(connection.ok()) << connection.status();
  for (const size_t size : {0, 1, 16'383, 16'384, 16'385, 65'536, 4 << 20}) {
    const std::string value(size, 'v');
    ASSERT_TRUE((*connection)->Call({"SET", "k", value}).ok()) << size;
    const auto read = (*connection)->Call({"GET", "k"});
    ASSERT_TRUE(read.ok()) << size;
    EXPECT_EQ(read->text(), value) << size;
  }
  // More answers than any buffer holds.
  const std::vector<Command> many(2'000, Command{"GET", "k"});
  (*connection)->Call({"SET", "k", std::string(10'000, 'x')}).IgnoreError();
  const auto replies = (*connection)->CallAll(many);
  ASSERT_TRUE(replies.ok()) << replies.status();
  EXPECT_EQ(replies->back().text().size(), 10'000u);
}

TEST_F(TlsRedisTest, OnlyWhatIsTrustedIsSpokenTo) {
  EXPECT_EQ(ErrorOf(At("localhost")), "");
  EXPECT_EQ(ErrorOf(At("127.0.0.1")), "");
  Address named = At("127.0.0.1");
  named.tls->server_name = "redis.example.org";
  EXPECT_EQ(ErrorOf(named), "");
  named.tls->server_name = "elsewhere.example.org";
  EXPECT_THAT(ErrorOf(named), HasSubstr("the certificate is not trusted: hostname mismatch"));
  Address other = At("localhost");
  other.tls->ca_file = files_.Path("other-ca.crt");
  EXPECT_THAT(ErrorOf(other), HasSubstr("the certificate is not trusted"));
  other.tls->ca_file.clear();
  EXPECT_THAT(ErrorOf(other), HasSubstr("the certificate is not trusted"));
  other.tls->ca_file = files_.Path("none");
  EXPECT_THAT(ErrorOf(other), HasSubstr("none: holds no certificates in PEM"));
}

TEST_F(TlsRedisTest, RedisAsksForACertificateOfOurs) {
  for (const char* name : {"", "foreign", "expired"}) {
    EXPECT_NE(ErrorOf(At("localhost", name)), "") << name;
  }
}

TEST_F(TlsRedisTest, PlainTextAndTlsTellEachOtherApart) {
  Address plain = At("localhost");
  plain.tls.reset();
  EXPECT_NE(ErrorOf(plain), "");
  plain.password = "secret";
  EXPECT_NE(ErrorOf(plain), "");
  const int port = testing::FreePort();
  testing::RedisServer other({.arguments = {"--port", std::to_string(port)}});
  EXPECT_THAT(ErrorOf(files_.AddressOf("localhost", port, "klatch")), HasSubstr("TLS"));
}

TEST_F(TlsRedisTest, ASilentPeerEndsConnectWithinItsTime) {
  server_.Freeze();
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(ErrorOf(At("localhost")), HasSubstr("no answer in time"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(3'000));
  // Nothing is sent before it is known to whom.
  Pipeline::Options options;
  options.connect_timeout = milliseconds(100);
  options.call_timeout = milliseconds(1'000);
  SocketPipeline pipeline(At("localhost"), options);
  const auto replies = CallNow(pipeline, {{"PING"}});
  EXPECT_EQ(base::ReasonOf(replies.status()), "NOT_SENT") << replies.status();
  server_.Thaw();
  EXPECT_TRUE(testing::Eventually([&] { return CallNow(pipeline, {{"PING"}}).ok(); }));
}

TEST_F(TlsRedisTest, APipelineCarriesManyAndConnectsAnew) {
  SocketPipeline pipeline(At("localhost"), {});
  constexpr int kGroups = 500;
  std::vector<std::promise<Pipeline::Replies>> promises(kGroups);
  for (int i = 0; i < kGroups; ++i) {
    // Both directions carry more than a socket takes at once.
    const std::string key = std::to_string(i % 7);
    pipeline.Submit(
        {{"SET", key, std::string(20'000, static_cast<char>('a' + i % 26))}, {"GET", key}},
        [&promise = promises[static_cast<size_t>(i)]](Pipeline::Replies replies) {
          promise.set_value(std::move(replies));
        });
  }
  for (int i = 0; i < kGroups; ++i) {
    const auto replies = promises[static_cast<size_t>(i)].get_future().get();
    ASSERT_TRUE(replies.ok()) << replies.status();
    EXPECT_EQ((*replies)[1].text(), std::string(20'000, static_cast<char>('a' + i % 26))) << i;
  }
  // With other certificates on both sides, of another authority: files are read for each connection.
  server_.Kill();
  files_.Renew();
  server_.Start();
  EXPECT_TRUE(testing::Eventually([&] { return CallNow(pipeline, {{"PING"}}).ok(); }));
  EXPECT_EQ((*CallNow(pipeline, {{"STRLEN", "0"}}))[0].integer(), 20'000);
}

TEST_F(TlsRedisTest, SentinelsNameTheMasterByTls) {
  const int port = testing::FreePort();
  std::vector<std::string> arguments = files_.ServerArguments(port);
  arguments.insert(arguments.end(), {"--tls-replication", "yes"});
  testing::RedisServer sentinel(
      {.arguments = arguments,
       .sentinel = fmt::format("sentinel monitor main 127.0.0.1 {} 1", port_)});
  auto place = Place::Parse(fmt::format("rediss-sentinel://localhost:{}/main", port));
  ASSERT_TRUE(place.ok()) << place.status();
  place->UseTls(*At("localhost").tls);
  const auto master = FindMaster(*place, milliseconds(2'000));
  ASSERT_TRUE(master.ok()) << master.status();
  EXPECT_EQ(master->address.ToString(), fmt::format("rediss://127.0.0.1:{}", port_));
  EXPECT_EQ(ErrorOf(master->address), "");
}

}  // namespace
}  // namespace klatch::redis
