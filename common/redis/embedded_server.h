#pragma once
// A redis-server of the node's own, on a Unix socket under its data directory, for those who have
// no Redis: append-only, synced every second, no port, no configuration file.
//
//   <data_dir>/lock            who uses the directory; held as long as this object lives
//   <data_dir>/redis.sock      the socket
//   <data_dir>/redis/          its files, log (redis.log) and process id (redis.pid)
//   <data_dir>/redis/server.lock   locked from before a server is started until it has ended
//
// Two servers on one append-only file would ruin it. Hence server.lock: the child inherits its
// locked descriptor, so a server, even one that has not written its process id yet, is seen by
// whoever comes next, and waited for. Children of Redis, which rewrite its files, hold it too.
//
// The server runs in a session of its own: it outlives the node's death and Ctrl-C, and the next
// node on the directory adopts it. Destroying this object leaves it running; Stop ends it.
//
// Thread safety: one thread at a time.
// What it does not do: start a server again that died while the node runs.

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/file_lock.h"
#include "common/base/status.h"
#include "common/redis/address.h"

namespace klatch::redis {

class EmbeddedServer {
 public:
  struct Options {
    // Created if need be.
    std::string data_dir;
    // Looked up in PATH if it has no slash.
    std::string program = "redis-server";
    // More of redis-server's arguments, such as {"--hash-max-listpack-entries", "64"}.
    std::vector<std::string> arguments;
  };

  // Asked and told while a server is waited for, at least every two seconds.
  struct Watch {
    // True: give up.
    std::function<bool()> interrupted = [] { return false; };
    // Why the server is not ready yet.
    std::function<void(const std::string& reason)> waiting = [](const std::string&) {};
  };

  // Takes the lock; adopts the server that a former node left, or starts one; waits until it is
  // ready, however long it loads. NOT_FOUND: redis-server isn't installed. FAILED_PRECONDITION: the
  // directory is in use by another process, redis-server ended at its start, the socket's path
  // would be too long, somebody else listens on it. CANCELLED when interrupted. After an error no
  // server runs that this call has started.
  static absl::StatusOr<std::unique_ptr<EmbeddedServer>> StartOrAdopt(Options options,
                                                                      const Watch& watch);

  EmbeddedServer(const EmbeddedServer&) = delete;
  EmbeddedServer& operator=(const EmbeddedServer&) = delete;
  ~EmbeddedServer() = default;

  const Address& address() const { return address_; }
  pid_t process_id() const { return process_id_; }
  // Whether it was running before.
  bool adopted() const { return adopted_; }
  // Whether it still runs; collects it if it was our child and has ended.
  bool Running() const;

  // Ends the server: SHUTDOWN, which syncs its files, for half of `limit`; then SIGTERM for the
  // rest; then SIGKILL, which loses nothing that was written, and half a second. INTERNAL if it is
  // there even after that. Idempotent.
  absl::Status Stop(std::chrono::milliseconds limit);

 private:
  explicit EmbeddedServer(Options options) : options_(std::move(options)) {}

  absl::Status Prepare();
  absl::Status AwaitReady(const Watch& watch);
  absl::StatusOr<bool> TryReach();
  absl::Status StartUnlessOneIsThere();
  absl::Status Start(int lock_descriptor);
  absl::Status CheckChild();
  absl::Status AwaitSignalledEnd(std::chrono::milliseconds limit);
  bool WorksHere(pid_t process_id) const;
  bool AwaitEnd(std::chrono::milliseconds limit) const;
  std::string LastLogLine() const;

  Options options_;
  Address address_;
  // Canonical path of the server's own directory.
  std::string directory_;
  std::unique_ptr<base::FileLock> lock_;
  // The server that answers; 0 before.
  pid_t process_id_ = 0;
  // The child that this object started; 0 if none.
  pid_t child_ = 0;
  bool adopted_ = false;
  // Why it is not ready.
  std::string last_error_;
};

}  // namespace klatch::redis
