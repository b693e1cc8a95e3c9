// What stands between the kernel and a real klatchd's gRPC: how many may connect, what ends a
// connection, also within TLS, and what goes on beside.

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"
#include "tests/integration/klatchd_watch_client.h"
#include "tests/integration/sanitized.h"
#include "tests/unit/certificate_maker.h"

namespace klatch::testing {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr std::string_view kHello("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
constexpr std::string_view kPing("\0\0\10\6\0\0\0\0\00012345678", 17);
constexpr size_t kSettingsBytes = 9;

std::string Pings(int count) {
  std::string pings;
  for (int i = 0; i < count; ++i) {
    pings += kPing;
  }
  return pings;
}

tcp::socket Connect(asio::io_context& io, const Klatchd& klatchd, const std::string& from) {
  const std::string& address = klatchd.address();
  const auto port = static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
  tcp::socket socket(io, {asio::ip::make_address(from), 0});
  socket.connect({asio::ip::make_address("127.0.0.1"), port});
  return socket;
}

// Whether a server of HTTP/2 is at the other end.
template <typename Stream>
bool IsGreeted(Stream& stream) {
  boost::system::error_code error;
  asio::write(stream, asio::buffer(kHello), error);
  std::array<char, kSettingsBytes> settings;
  asio::read(stream, asio::buffer(settings), error);
  return !error;
}

// Whether it is ended from the other side.
template <typename Stream>
bool Ends(Stream& stream) {
  boost::system::error_code error;
  std::array<char, 4096> bytes;
  while (!error) {
    stream.read_some(asio::buffer(bytes), error);
  }
  return true;
}

class KlatchdTransportTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kIsSanitized) {
      GTEST_SKIP() << "the guard is not linked into builds with a sanitizer";
    }
  }
  static std::vector<std::string> Arguments(std::vector<std::string> more = {}) {
    more.insert(more.end(), {"--shards", "4", "--partitions", "4", "--workers", "1"});
    return more;
  }
  static bool Says(const Klatchd& klatchd, const std::string& metric) {
    return Eventually(
        [&] { return klatchd.Get("/metrics").second.find("\n" + metric) != std::string::npos; });
  }

  asio::io_context io_;
};

TEST_F(KlatchdTransportTest, OneAddressHasHalfOfTheConnections) {
  Klatchd klatchd(
      {.arguments = Arguments({"--connections-max", "4"}), .listen = Klatchd::Listen::kTcp});
  tcp::socket first = Connect(io_, klatchd, "127.0.0.1");
  tcp::socket second = Connect(io_, klatchd, "127.0.0.1");
  EXPECT_TRUE(IsGreeted(first));
  EXPECT_TRUE(IsGreeted(second));
  tcp::socket third = Connect(io_, klatchd, "127.0.0.1");
  EXPECT_FALSE(IsGreeted(third));
  tcp::socket other = Connect(io_, klatchd, "127.0.0.2");
  EXPECT_TRUE(IsGreeted(other));
  EXPECT_TRUE(Says(klatchd, "klatch_grpc_connections 3\n"));
  EXPECT_TRUE(Says(klatchd, "klatch_grpc_connections_refused_total 1\n"));
  first.close();
  EXPECT_TRUE(Says(klatchd, "klatch_grpc_connections 2\n"));
  tcp::socket again = Connect(io_, klatchd, "127.0.0.1");
  EXPECT_TRUE(IsGreeted(again));
}

TEST_F(KlatchdTransportTest, AnAbusedConnectionEndsAndNoOther) {
  Klatchd klatchd({.arguments = Arguments(), .listen = Klatchd::Listen::kTcp});
  Client client(klatchd.Channel());
  ASSERT_THAT(client.CreateGroup("ann", "g"), Succeeds());
  tcp::socket abused = Connect(io_, klatchd, "127.0.0.1");
  ASSERT_TRUE(IsGreeted(abused));
  boost::system::error_code ignored;
  asio::write(abused, asio::buffer(Pings(1'000)), ignored);
  EXPECT_TRUE(Ends(abused));
  EXPECT_TRUE(Says(klatchd, "klatch_grpc_connections_cut_total{reason=\"control\"} 1\n"));
  EXPECT_THAT(client.Home("ann"), Succeeds());
}

TEST_F(KlatchdTransportTest, WhatIsWithinTlsIsMeteredToo) {
  const CertificateMaker authority;
  const CertifiedKey own = authority.Make("DNS:localhost,IP:127.0.0.1");
  TemporaryDirectory files;
  const std::string certificate = files.path() / "server.crt", key = files.path() / "server.key";
  std::ofstream(certificate) << own.certificate;
  std::ofstream(key) << own.key;
  std::filesystem::permissions(key, std::filesystem::perms::owner_read);
  Klatchd klatchd({.arguments = Arguments({"--tls-cert", certificate, "--tls-key", key}),
                   .listen = Klatchd::Listen::kTcp});
  asio::ssl::context context(asio::ssl::context::tls_client);
  asio::ssl::stream<tcp::socket> abused(Connect(io_, klatchd, "127.0.0.1"), context);
  constexpr unsigned char kHttp2[] = {2, 'h', '2'};
  ASSERT_EQ(SSL_set_alpn_protos(abused.native_handle(), kHttp2, sizeof(kHttp2)), 0);
  abused.handshake(asio::ssl::stream_base::client);
  // What is encrypted is no frames, and would be mistaken for abuse if it were metered as such.
  ASSERT_TRUE(IsGreeted(abused));
  boost::system::error_code ignored;
  asio::write(abused, asio::buffer(Pings(1'000)), ignored);
  EXPECT_TRUE(Ends(abused));
  EXPECT_TRUE(Says(klatchd, "klatch_grpc_connections_cut_total{reason=\"control\"} 1\n"));
}

TEST_F(KlatchdTransportTest, CallsGoOnWhileConnectionsGrowOld) {
  Klatchd klatchd(
      {.arguments = Arguments({"--connection-age-max", "300ms", "--http-listen", "127.0.0.1:0"}),
       .listen = Klatchd::Listen::kTcp});
  Client client(klatchd.Channel());
  ASSERT_THAT(client.CreateGroup("ann", "g"), Succeeds());
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (std::chrono::steady_clock::now() < end) {
    ASSERT_THAT(client.Home("ann"), Succeeds());
  }
}

TEST_F(KlatchdTransportTest, WatchesGoOnWhileConnectionsGrowOld) {
  Klatchd klatchd(
      {.arguments = Arguments({"--connection-age-max", "300ms"}), .listen = Klatchd::Listen::kTcp});
  const std::shared_ptr<grpc::Channel> channel = klatchd.Channel();
  Client client(channel);
  ASSERT_THAT(client.CreateGroup("ann", "g"), Succeeds());
  // One stays on its connection, which has a minute yet. Another is opened anew each time, where the channel
  // is by then, and goes on from its token.
  Watcher stays(channel, "ann");
  ASSERT_TRUE(stays.AwaitBegun());
  std::vector<std::string> words;
  std::string token;
  for (int i = 0; i < 8; ++i) {
    Watcher again(channel, "ann", token);
    ASSERT_TRUE(again.AwaitBegun());
    const std::string text = std::to_string(i);
    ASSERT_THAT(client.Publish("ann", "g", text), Succeeds());
    words.push_back("+" + text);
    ASSERT_TRUE(again.AwaitWords({"+" + text})) << i;
    ASSERT_TRUE(again.AwaitToken(1));
    token = again.token();
    std::this_thread::sleep_for(std::chrono::milliseconds(200));  // so that connections grow old
  }
  EXPECT_TRUE(stays.AwaitWords(words));
  EXPECT_FALSE(stays.has_ended());
}

}  // namespace
}  // namespace klatch::testing
