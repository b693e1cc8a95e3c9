#pragma once
// Finishes posts to several groups, and removals from some of them, whose callers did not: their node
// died, Redis was away, nobody repeated the call. Looks every second at what is noted as pending, at
// limits::kSweptPerShard a shard, one after the other.
//
// Thread safety: Start and Stop by the owner; the counter from any thread. What it does can be done
// by others at the same time: all its steps can be repeated.
// Lifetime: what it is made of outlives it.

#include <atomic>
#include <cstdint>

#include "common/base/clock.h"
#include "common/base/periodic_thread.h"
#include "common/base/status.h"
#include "common/base/task.h"
#include "common/obs/log.h"
#include "services/accept/carrier.h"
#include "services/accept/stored_facts.h"
#include "services/log/appender.h"

namespace klatch {

class Sweeper {
 public:
  Sweeper(uint32_t shard_count, Appender& appender, StoredFacts& stored, const base::Clock& clock);

  void Start() { thread_.Start(); }
  // Ends the thread after the post under way.
  void Stop() { thread_.Stop(); }

  // One bounded pass over all shards, which the thread makes again and again; yields how many it finished.
  // Without the thread the caller makes them, one after the other.
  base::Task<size_t> Sweep();

  // Posts and removals that it has finished.
  uint64_t finished() const { return finished_.load(std::memory_order_relaxed); }

 private:
  // Sweeps and waits for the end of it.
  void DoWork();
  base::Task<absl::Status> Finish(PendingPost post);
  void Note(const absl::Status& status);

  const uint32_t shard_count_;
  Appender& appender_;
  StoredFacts& stored_;
  const base::Clock& clock_;
  Carrier carrier_;
  // The sweeper's own.
  obs::LogLimiter error_lines_{1};

  std::atomic<uint64_t> finished_{0};  // a counter; publishes nothing

  base::PeriodicThread thread_;
};

}  // namespace klatch
