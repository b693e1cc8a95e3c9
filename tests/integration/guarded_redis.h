#pragma once
// A master of Redis, replicas of it, and Sentinels that call it "main": each a process of its own, on a
// port of 127.0.0.1.
//
//   GuardedRedis redis({.replicas = 2, .sentinels = 3});
//   Klatchd klatchd({.arguments = {"--redis", redis.uri()}});
//   …
//   redis.FailOver();
//
// Thread safety: one thread at a time. What doesn't come about within kProcessWaitMax fails the test.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/integration/redis_server_fixture.h"

namespace klatch::testing {

class GuardedRedis {
 public:
  struct Options {
    int replicas = 1;
    int sentinels = 1;
  };
  // Waits until all replicas are in sync, and each Sentinel knows them and the other Sentinels.
  explicit GuardedRedis(Options options);

  // Where Sentinels on these ports say that it is.
  static std::string UriOf(const std::vector<int>& sentinel_ports, std::string_view name = "main");
  std::string uri() const;

  // The first is the first master.
  RedisServer& server(size_t i) { return *servers_[i].process; }
  int port(size_t i) const { return servers_[i].port; }
  RedisServer& sentinel(size_t i) { return *sentinels_[i].process; }
  int sentinel_port(size_t i) const { return sentinels_[i].port; }
  // Of the servers.
  size_t master() const { return master_; }

  // Kills the master. Returns when all Sentinels name the same other one.
  void FailOver();

 private:
  struct Member {
    int port = 0;
    std::unique_ptr<RedisServer> process;
  };

  void AwaitAcquainted();
  // Of the servers; their number if Sentinels disagree, or name none of them.
  size_t NamedBySentinels() const;

  std::vector<Member> servers_;
  std::vector<Member> sentinels_;
  size_t master_ = 0;
};

}  // namespace klatch::testing
