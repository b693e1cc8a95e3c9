#pragma once
// The way out of the log: what a tailer follows.
//
// Thread safety: one thread at a time.

#include <chrono>
#include <span>
#include <vector>

#include "common/base/status.h"
#include "klatch/v1/log_record.pb.h"
#include "services/log/log_trail.h"
#include "services/model/position.h"

namespace klatch {

struct LogEntry {
  Position position;
  klatch::v1::LogRecord record;
};

class LogReader {
 public:
  virtual ~LogReader() = default;

  // Appends to `entries` up to entries_max records that stand behind `after[shard]`, over all
  // shards, in order within each shard; waits up to `wait` if there are none. A record that can't
  // be decoded is DATA_LOSS, naming its position; nothing is appended then. REQUIRES: after.size()
  // == shard count.
  virtual absl::Status Read(std::span<const Position> after, size_t entries_max,
                            std::chrono::milliseconds wait, std::vector<LogEntry>& entries) = 0;

  // What stands at each mark, in their order, and of the logs that lack one their ends. REQUIRES: no
  // position is zero.
  virtual absl::StatusOr<std::vector<LogLook>> LookAt(std::span<const LogMark> marks) = 0;

  // The last position of each shard's log; zero where it is empty.
  virtual absl::StatusOr<std::vector<Position>> LastPositions() = 0;
};

}  // namespace klatch
