#pragma once
// Trims the shards' logs: what every partition's checkpoint has passed and what is older than the log is
// to be kept goes. A log that takes more bytes than it may is trimmed up to the checkpoints, whatever its
// age. What a checkpoint has not passed stays in any case: a restart replays it.
//
// Thread safety: Start and Stop by the owner; gauges from any thread; TrimAll by one thread at a time.
// Bounds: Redis trims some 10,000 records of a shard at once; what is left goes at the next pass. The newest
// record of a shard always stays. A pass that fails is tried again at the next.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "common/base/clock.h"
#include "common/base/periodic_thread.h"
#include "common/base/status.h"
#include "common/obs/log.h"
#include "common/redis/connection.h"
#include "services/model/keys.h"
#include "services/model/layout.h"
#include "services/model/limits.h"
#include "services/model/position.h"

namespace klatch {

class Janitor {
 public:
  struct Options {
    std::chrono::milliseconds kept{limits::kLogKept};
    int64_t shard_bytes_max = limits::kLogShardBytesMax;
    std::chrono::milliseconds pause{5'000};
  };

  Janitor(const Layout& layout, const Options& options, std::unique_ptr<redis::Connection> redis,
          const base::Clock& clock);

  void Start() { thread_.Start(); }
  void Stop() { thread_.Stop(); }

  // What the thread does again and again, for who has none: a pass, on a new connection if need be; says what
  // went wrong.
  void DoWork();
  // One pass over all shards.
  absl::Status TrimAll();

  // A counter, and what the logs took at the last pass.
  uint64_t trimmed() const { return trimmed_.load(std::memory_order_relaxed); }
  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  struct ShardFacts {
    Position last;
    int64_t bytes = 0;
  };

  // By shard: what the checkpoints of all partitions have passed. Nothing of it if one has none.
  absl::StatusOr<std::vector<Position>> ReadPassed();
  absl::StatusOr<std::vector<ShardFacts>> ReadShards();

  const Layout layout_;
  const Keys keys_;
  const Options options_;
  const std::unique_ptr<redis::Connection> redis_;
  const base::Clock& clock_;
  obs::LogLimiter error_lines_{1};

  // Publish nothing.
  std::atomic<uint64_t> trimmed_{0};
  std::atomic<uint64_t> bytes_{0};

  base::PeriodicThread thread_;
};

}  // namespace klatch
