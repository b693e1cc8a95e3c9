#pragma once
// A server on a socket whose connections end in RedisTwins: whatever of Klatch speaks with Redis can
// be held against a FakeRedis as it is, with the arguments that it really sends. Replies are the
// real one's.
//
// Thread safety: any thread; `twins` is the server's until Stop, but for what With does.
// Bounds: one command at a time; what blocks blocks everybody.

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/redis/address.h"
#include "tests/integration/redis_server_fixture.h"
#include "tests/sim/redis_twins.h"

namespace klatch::testing {

class RedisTwinServer {
 public:
  explicit RedisTwinServer(RedisTwins& twins);
  ~RedisTwinServer();
  RedisTwinServer(const RedisTwinServer&) = delete;
  RedisTwinServer& operator=(const RedisTwinServer&) = delete;

  const redis::Address& address() const { return address_; }
  // The sources of the scripts that were run.
  std::set<std::string> scripts() const;
  // Does something to the twins between two commands.
  void With(const std::function<void(RedisTwins&)>& action);
  void Stop();

 private:
  struct Client;

  void Run();
  // False: it is gone.
  bool Serve(Client& client);
  bool Answer(Client& client, redis::ReplyView command);

  RedisTwins& twins_;  // guarded by mutex_
  TemporaryDirectory directory_;
  redis::Address address_;
  int listener_ = -1;
  std::vector<std::unique_ptr<Client>> clients_;  // of the server's thread
  mutable std::mutex mutex_;
  std::set<std::string> scripts_;  // guarded by mutex_
  std::atomic<bool> is_stopping_{false};
  std::thread thread_;
};

}  // namespace klatch::testing
