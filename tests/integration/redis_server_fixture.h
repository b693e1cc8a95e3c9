#pragma once
// A private redis-server for a test: on a Unix socket in a fresh directory, no port, no snapshots.
// It ends with the object, and with the test's process even when that crashes. With KLATCH_TEST_REDIS_TLS
// set, its address is that of a port with TLS instead.
//
//   class RosterRedisTest : public testing::RedisTest {};
//   TEST_F(RosterRedisTest, ...) { auto connection = Connect(); ... }
//
// Thread safety: one thread at a time. Errors end the test process with a message: without a Redis
// no test that asks for one means anything.

#include <gtest/gtest.h>
#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "common/redis/address.h"
#include "common/redis/connection.h"
#include "tests/integration/temporary_directory.h"
#include "tests/integration/tls_files.h"

namespace klatch::testing {

class RedisServer {
 public:
  enum class Persistence { kNone, kAppendOnly };
  struct Options {
    Persistence persistence = Persistence::kNone;
    // More of redis-server's arguments, such as {"--requirepass", "secret"}.
    std::vector<std::string> arguments;
    // What a Sentinel is to watch, as a line of its configuration; empty: it is a Redis.
    std::string sentinel{};
  };

  // Starts it and waits until it answers, be it by NOAUTH, and has loaded its data.
  RedisServer() : RedisServer(Options()) {}
  explicit RedisServer(Options options);
  // Ends it, waits for its end, removes its directory.
  ~RedisServer();
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  const redis::Address& address() const { return address_; }
  const std::filesystem::path& directory() const { return directory_.path(); }
  // 0 while it does not run.
  pid_t process_id() const { return process_id_; }

  // SIGKILL, and waits for its end. What was not yet in the append-only file is lost.
  void Kill();
  // Starts it again on the same directory and socket. REQUIRES: Kill was called.
  void Start();
  // SIGSTOP and SIGCONT: connected, but silent.
  void Freeze();
  void Thaw();

  std::unique_ptr<redis::Connection> Connect(redis::Connection::Options options = {}) const;

 private:
  void AwaitReady();

  const Options options_;
  TemporaryDirectory directory_;
  std::unique_ptr<TlsFiles> tls_;  // null: by the socket
  redis::Address address_;
  pid_t process_id_ = 0;
};

// A port of 127.0.0.1 that nothing listened on a moment ago.
int FreePort();

// A test case with a fresh server of its own.
class RedisTest : public ::testing::Test {
 protected:
  RedisTest() = default;
  explicit RedisTest(RedisServer::Options options) : server_(std::move(options)) {}

  std::unique_ptr<redis::Connection> Connect() const { return server_.Connect(); }

  RedisServer server_;
};

}  // namespace klatch::testing
