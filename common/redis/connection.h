#pragma once
// One blocking connection to one Redis, for threads that have nothing else to do meanwhile:
// loaders, tailers, flushers, tests. An interface, so that a simulator can stand behind it.
//
// Thread safety: one thread at a time.
// Bound: call_timeout is the longest time without a further whole reply; so a call ends within it
// when Redis stops answering, and a long CallAll may take longer while replies arrive. Sending and
// receiving are interleaved, so a batch of any size can't block both sides. Looking up a host's
// name is not bounded. Errors: UNAVAILABLE when Redis can't be reached (reason "NOT_SENT"), the
// connection broke or the timeout passed (reason "OUTCOME_UNKNOWN": what was sent may have been
// carried out), or the peer broke the protocol (reason "PROTOCOL_ERROR": the same); the connection
// is then closed and every later call fails at once until Reconnect. A reply that is an error of
// Redis is a Reply, not a Status, except in Call and CallAll's documented cases; ToStatus maps it.

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/redis/address.h"
#include "common/redis/command.h"
#include "common/redis/cutoff.h"
#include "common/redis/reply.h"

namespace klatch::redis {

// The status of an error reply: READONLY, LOADING, MASTERDOWN, CLUSTERDOWN, TRYAGAIN, BUSY,
// MISCONF, NOREPLICAS → UNAVAILABLE; OOM → RESOURCE_EXHAUSTED; NOAUTH, WRONGPASS, NOPERM, DENIED →
// UNAVAILABLE, with a reason that RefusesUser knows; WRONGTYPE → FAILED_PRECONDITION; else INTERNAL. OK if
// `reply` is no error.
absl::Status ToStatus(ReplyView reply);
// Whether Redis turned this program's own user away: no fault of a caller, and none that mends itself.
bool RefusesUser(const absl::Status& status);

class Connection {
 public:
  struct Options {
    std::chrono::milliseconds connect_timeout{1000};
    std::chrono::milliseconds call_timeout{5000};
    const Cutoff* cutoff = nullptr;  // null: nobody ends its calls early
  };

  // Connects, authenticates. PERMISSION_DENIED if Redis refuses user or password,
  // FAILED_PRECONDITION if what answers is not a Redis.
  static absl::StatusOr<std::unique_ptr<Connection>> Connect(const Address& address,
                                                             const Options& options);
  virtual ~Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Sends one command and waits for its reply. An error reply becomes its status.
  absl::StatusOr<Reply> Call(const Command& command);
  // Sends all behind one another and waits for all replies; they come in the order of `commands`.
  // Error replies stay replies. If a script has vanished from Redis meanwhile (SCRIPT FLUSH), its
  // command is sent again and runs after those behind it.
  virtual absl::StatusOr<std::vector<Reply>> CallAll(std::span<const Command> commands) = 0;

  const Address& address() const { return address_; }
  virtual bool connected() const = 0;
  virtual absl::Status Reconnect() = 0;

 protected:
  explicit Connection(Address address) : address_(std::move(address)) {}

 private:
  const Address address_;
};

// How a part that keeps a connection of its own makes it.
using Connector = std::function<absl::StatusOr<std::unique_ptr<Connection>>()>;

}  // namespace klatch::redis
