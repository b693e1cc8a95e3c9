#pragma once
// The Redis that a klatchd stands on, its own or an existing one, and the node id that its leases
// carry.
//
// Both hang on the data directory: whoever holds its lock is the node whose id stands in it, and
// may take that node's leases back at once.
//
// Thread safety: one thread.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/base/clock.h"
#include "common/base/file_lock.h"
#include "common/base/status.h"
#include "common/redis/address.h"
#include "common/redis/embedded_server.h"
#include "common/redis/master_watch.h"
#include "services/klatchd/options.h"

namespace klatch {

// INVALID_ARGUMENT, naming the file, if TLS to Redis is wanted and one of its files can't be used. They are
// read anew for each connection, for which such a file is a Redis that can't be reached.
absl::Status CheckRedisTls(const KlatchdOptions& options);

class RedisAccess {
 public:
  // Waits until Redis is there and fit for Klatch, however long that takes, telling `waiting` each
  // time why; CANCELLED when `interrupted` says so. Errors that waiting can't mend end it:
  // NOT_FOUND (redis-server is not installed), FAILED_PRECONDITION (directory in use, a replica,
  // too old, wrong eviction policy), PERMISSION_DENIED, INVALID_ARGUMENT ("redis"). After an error
  // no redis-server runs that this call has started.
  static absl::StatusOr<std::unique_ptr<RedisAccess>> Open(
      const KlatchdOptions& options, const base::Clock& clock,
      const std::function<bool()>& interrupted,
      const std::function<void(const std::string& reason)>& waiting);

  const redis::Address& address() const { return address_; }
  const std::string& node_id() const { return node_id_; }

  // False if the redis-server that is ours has ended.
  bool Running() { return !embedded_ || embedded_->Running(); }
  bool has_sentinels() const { return watch_ != nullptr; }
  // Whether Sentinels have made another the master.
  bool moved() const { return watch_ != nullptr && watch_->moved(); }
  // Ends the redis-server that is ours, within `limit` and the half second of its killing; an
  // existing one is left alone.
  void StopEmbedded(std::chrono::milliseconds limit);

 private:
  RedisAccess() = default;

  absl::Status OpenOnce(const KlatchdOptions& options, const redis::EmbeddedServer::Watch& watch);
  absl::Status OpenEmbedded(const KlatchdOptions& options,
                            const redis::EmbeddedServer::Watch& watch);
  absl::Status OpenExisting(const KlatchdOptions& options);
  absl::Status ReadNodeId(const std::string& data_dir);

  redis::Address address_;
  std::unique_ptr<redis::MasterWatch> watch_;  // null without Sentinels
  std::string node_id_;
  std::unique_ptr<redis::EmbeddedServer> embedded_;
  // Of the data directory, when Redis is not ours.
  std::optional<base::FileLock> lock_;
};

}  // namespace klatch
