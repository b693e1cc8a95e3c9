// The operators' HTTP server, over real sockets.

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "common/obs/http_server.h"

namespace klatch::obs {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

int Connect(int port) {
  const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    close(descriptor);
    return -1;
  }
  return descriptor;
}

// Half-closed tells the server that nothing more comes. It doesn't wait for missing bytes then, and
// gives no answer either.
enum class Ending { kOpen, kHalfClosed };

// The whole answer to a request of ours; empty if nobody listens.
std::string Exchange(int port, std::string_view request, Ending ending) {
  const int descriptor = Connect(port);
  if (descriptor < 0) {
    return "";
  }
  send(descriptor, request.data(), request.size(), MSG_NOSIGNAL);
  if (ending == Ending::kHalfClosed) {
    shutdown(descriptor, SHUT_WR);
  }
  std::string answer;
  char buffer[4096];
  for (ssize_t n = 0; (n = recv(descriptor, buffer, sizeof(buffer), 0)) > 0;) {
    answer.append(buffer, static_cast<size_t>(n));
  }
  close(descriptor);
  return answer;
}

std::string Get(int port, const std::string& path) {
  return Exchange(port, "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n", Ending::kOpen);
}

class ObservabilityServerTest : public ::testing::Test {
 protected:
  std::unique_ptr<ObservabilityServer> Start() {
    auto server = ObservabilityServer::Start("127.0.0.1", 0,
                                             {metrics_, [this] {
                                                return Readiness{ready_.load(), {"redis: loading"}};
                                              }});
    EXPECT_TRUE(server.ok()) << server.status();
    return std::move(server).value();
  }

  MetricsRegistry metrics_;
  std::atomic<bool> ready_{false};
};

TEST_F(ObservabilityServerTest, ServesMetricsLivenessAndReadiness) {
  ShardedCounter counter;
  counter.Add(7);
  metrics_.Add("klatch_things_total", "Things.", {}, counter);
  const auto server = Start();
  ASSERT_GT(server->port(), 0);
  const std::string metrics = Get(server->port(), "/metrics");
  EXPECT_THAT(metrics, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(metrics, HasSubstr("text/plain; version=0.0.4"));
  EXPECT_THAT(metrics, HasSubstr("klatch_things_total 7\n"));
  EXPECT_THAT(Get(server->port(), "/livez"), HasSubstr("\r\n\r\nok\n"));
  EXPECT_THAT(Get(server->port(), "/nothing"), StartsWith("HTTP/1.1 404"));
}

TEST_F(ObservabilityServerTest, ReadinessFollowsTheCallbackWithItsReasons) {
  const auto server = Start();
  const std::string before = Get(server->port(), "/readyz");
  EXPECT_THAT(before, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(before, HasSubstr("not ready\nredis: loading\n"));
  ready_ = true;
  EXPECT_THAT(Get(server->port(), "/readyz"), StartsWith("HTTP/1.1 200"));
}

TEST_F(ObservabilityServerTest, SaysThatThePortIsTaken) {
  const auto first = Start();
  const auto second = ObservabilityServer::Start("127.0.0.1", first->port(),
                                                 {metrics_, [] { return Readiness{}; }});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(
      base::MessageOf(second.status()),
      "cannot listen on 127.0.0.1:" + std::to_string(first->port()) + ": Address already in use");
}

TEST_F(ObservabilityServerTest, SaysThatTheAddressIsNotOurs) {
  for (const char* host : {"192.0.2.1", "no-such-host.invalid"}) {
    const auto server = ObservabilityServer::Start(host, 0, {metrics_, [] { return Readiness{}; }});
    ASSERT_FALSE(server.ok());
    EXPECT_THAT(base::MessageOf(server.status()),
                StartsWith("cannot listen on " + std::string(host) + ":0: "));
  }
}

TEST_F(ObservabilityServerTest, StopsAtOnceAndTwice) {
  for (int i = 0; i < 50; ++i) {
    const auto server = Start();
    const int port = server->port();
    server->Stop();
    server->Stop();
    EXPECT_EQ(Connect(port), -1);
  }
}

TEST_F(ObservabilityServerTest, StopsUnderLoadAnsweringWhatItTook) {
  auto server = Start();
  const int port = server->port();
  std::atomic<int> answered{0};
  std::atomic<int> finished{0};
  std::vector<std::thread> clients;
  for (int t = 0; t < 4; ++t) {
    clients.emplace_back([&, port] {
      while (Get(port, "/livez").starts_with("HTTP/1.1 200")) {
        ++answered;
      }
      ++finished;
    });
  }
  while (answered < 100 && finished < 4) {
    std::this_thread::yield();
  }
  EXPECT_GE(answered, 100);
  server->Stop();
  for (std::thread& client : clients) {
    client.join();
  }
}

TEST_F(ObservabilityServerTest, SurvivesWhatIsNotHttp) {
  const auto server = Start();
  const std::vector<std::string> shouts = {
      std::string(10'000, '\0') + "\r\n\r\n",
      "GET " + std::string(100'000, 'x') + " HTTP/1.1\r\n\r\n",
      "POST /metrics HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "",
  };
  for (const std::string& shout : shouts) {
    Exchange(server->port(), shout, Ending::kHalfClosed);
  }
  EXPECT_THAT(Get(server->port(), "/livez"), StartsWith("HTTP/1.1 200"));
}

}  // namespace
}  // namespace klatch::obs
