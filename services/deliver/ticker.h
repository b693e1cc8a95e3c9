#pragma once
// Keeps the time of idle shards moving while somebody reads their groups: a shard that has had no
// record for a second gets a tick, so that pages can say that they are complete up to now.
//
// Thread safety: Start and Stop by the owner.
// Bound: at most one tick per shard and second.

#include <vector>

#include "common/base/clock.h"
#include "common/base/periodic_thread.h"
#include "services/deliver/progress.h"
#include "services/log/appender.h"

namespace klatch {

class Ticker {
 public:
  Ticker(uint32_t shard_count, Appender& appender, const Progress& progress,
         const base::Clock& clock);

  void Start() { thread_.Start(); }
  void Stop() { thread_.Stop(); }

 private:
  // Ticks every shard that is idle and being read.
  void DoWork();
  base::Task<void> Tick(ShardIndex shard);

  struct ShardState {
    Position position;
    base::MonotonicTime changed;
  };

  Appender& appender_;
  const Progress& progress_;
  const base::Clock& clock_;
  // The ticker's own.
  std::vector<ShardState> shards_;

  base::PeriodicThread thread_;
};

}  // namespace klatch
