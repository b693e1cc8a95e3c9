#pragma once
// The LogReader whose log is Redis: one XREAD over the streams of all shards, on a connection of
// its own. After an error the status is returned, and the next call connects anew.
//
// Thread safety: one thread at a time.
// Bounds: LookAt asks for kLooksAtOnce marks at a time. A Read returns at most entries_max records, and takes at most `wait` (bounded by the
// connection's call timeout less a margin) and the time of one call.

#include <memory>
#include <vector>

#include "common/redis/connection.h"
#include "services/log/log_clock.h"
#include "services/log/log_reader.h"
#include "services/model/keys.h"
#include "services/model/layout.h"

namespace klatch {

// One entry of an XREAD's answer. DATA_LOSS, naming its id, if it is no record that this version
// knows.
absl::StatusOr<LogEntry> DecodeLogEntry(redis::ReplyView reply, ShardIndex shard,
                                        std::string_view stream);

class RedisLogReader final : public LogReader {
 public:
  // Connects at the first call, by `connect`. `wait_max`: less than what its calls may take. `clock` is
  // told of what is read, and outlives this.
  RedisLogReader(redis::Connector connect, std::chrono::milliseconds wait_max, const Layout& layout,
                 LogClock& clock);
  RedisLogReader(redis::Address address, const redis::Connection::Options& options,
                 const Layout& layout, LogClock& clock);

  absl::Status Read(std::span<const Position> after, size_t entries_max,
                    std::chrono::milliseconds wait, std::vector<LogEntry>& entries) override;
  absl::StatusOr<std::vector<LogLook>> LookAt(std::span<const LogMark> marks) override;
  absl::StatusOr<std::vector<Position>> LastPositions() override;

 private:
  absl::Status EnsureConnected();
  redis::Command ReadCommand(std::span<const Position> after, size_t count,
                             std::chrono::milliseconds wait) const;
  // Appends the records of one stream, at most until `entries` has size_max.
  absl::Status TakeStream(redis::ReplyView stream, size_t size_max,
                          std::vector<LogEntry>& entries) const;
  // At most kLooksAtOnce marks.
  absl::Status LookAtSome(std::span<const LogMark> marks, std::vector<LogLook>& looks);
  // The position of the first record of an answer to XREAD; zero if there is none.
  absl::StatusOr<Position> DecodeFirst(redis::ReplyView reply, ShardIndex shard) const;

  const redis::Connector connect_;
  const std::chrono::milliseconds wait_max_;
  const uint32_t shard_count_;
  LogClock& clock_;
  std::vector<std::string> streams_;  // by shard
  std::unique_ptr<redis::Connection> connection_;
  // How many streams had records in the last Read that found any: XREAD counts per stream, so a
  // Read asks each for its part.
  size_t busy_streams_;
};

}  // namespace klatch
