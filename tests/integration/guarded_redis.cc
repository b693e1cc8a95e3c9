#include "tests/integration/guarded_redis.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/redis/info.h"
#include "common/redis/place.h"
#include "tests/integration/eventually.h"

namespace klatch::testing {
namespace {

constexpr std::chrono::milliseconds kAskTimeout{500};

std::unique_ptr<RedisServer> StartServer(int port, std::vector<std::string> more) {
  std::vector<std::string> arguments = {"--port", std::to_string(port),
                                        "--repl-diskless-sync-delay", "0"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return std::make_unique<RedisServer>(RedisServer::Options{.arguments = std::move(arguments)});
}

// A second without an answer, and it is down: a machine that is busy must not look like that.
std::unique_ptr<RedisServer> StartSentinel(int port, int master_port, int quorum) {
  return std::make_unique<RedisServer>(
      RedisServer::Options{.arguments = {"--port", std::to_string(port)},
                           .sentinel = fmt::format("sentinel monitor main 127.0.0.1 {} {}\n"
                                                   "sentinel down-after-milliseconds main 1000\n"
                                                   "sentinel failover-timeout main 4000",
                                                   master_port, quorum)});
}

}  // namespace

GuardedRedis::GuardedRedis(Options options) {
  const int master_port = FreePort();
  servers_.push_back({master_port, StartServer(master_port, {})});
  for (int i = 0; i < options.replicas; ++i) {
    const int port = FreePort();
    servers_.push_back(
        {port, StartServer(port, {"--replicaof", "127.0.0.1", std::to_string(master_port)})});
  }
  // A Sentinel that starts before they are in sync looks again only after ten seconds.
  EXPECT_TRUE(Eventually([&, master = servers_.front().process->Connect()] {
    const auto info = master->Call({"INFO", "replication"});
    return info.ok() &&
           redis::ReadReplication(info->text()).in_sync == static_cast<uint32_t>(options.replicas);
  })) << "a replica is not in sync";
  for (int i = 0; i < options.sentinels; ++i) {
    const int port = FreePort();
    sentinels_.push_back({port, StartSentinel(port, master_port, options.sentinels / 2 + 1)});
  }
  AwaitAcquainted();
}

void GuardedRedis::AwaitAcquainted() {
  for (const Member& sentinel : sentinels_) {
    const auto connection = sentinel.process->Connect();
    const auto counted = [&](const char* what) {
      const auto listed = connection->Call({"SENTINEL", what, "main"});
      return listed.ok() ? listed->size() : 0;
    };
    EXPECT_TRUE(Eventually([&] {
      return counted("REPLICAS") == servers_.size() - 1 &&
             counted("SENTINELS") == sentinels_.size() - 1;
    })) << "a Sentinel does not know all";
  }
}

std::string GuardedRedis::UriOf(const std::vector<int>& sentinel_ports, std::string_view name) {
  std::string uri = "sentinel://";
  for (const int port : sentinel_ports) {
    uri += fmt::format("{}127.0.0.1:{}", port == sentinel_ports.front() ? "" : ",", port);
  }
  return fmt::format("{}/{}", uri, name);
}

std::string GuardedRedis::uri() const {
  std::vector<int> ports;
  for (const Member& sentinel : sentinels_) {
    ports.push_back(sentinel.port);
  }
  return UriOf(ports);
}

size_t GuardedRedis::NamedBySentinels() const {
  size_t named = servers_.size();
  for (const Member& sentinel : sentinels_) {
    const auto place = redis::Place::Parse(UriOf({sentinel.port}));
    const auto master = redis::FindMaster(*place, kAskTimeout);
    const auto found = std::ranges::find_if(servers_, [&](const Member& server) {
      return master.ok() && server.port == master->address.port;
    });
    const auto index = static_cast<size_t>(found - servers_.begin());
    if (found == servers_.end() || (named != servers_.size() && named != index)) {
      return servers_.size();
    }
    named = index;
  }
  return named;
}

void GuardedRedis::FailOver() {
  const size_t former = master_;
  servers_[former].process->Kill();
  EXPECT_TRUE(Eventually([&] {
    const size_t named = NamedBySentinels();
    if (named == servers_.size() || named == former) {
      return false;
    }
    master_ = named;
    return true;
  })) << "no other Redis has become the master";
}

}  // namespace klatch::testing
