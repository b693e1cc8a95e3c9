#pragma once
// How far this node has read and applied each shard's log, and the waits for it: tokens of reads, barriers
// of removals.
//
// Thread safety: Advance(worker, …) by that worker only, NoteWhole by the tailer; everything else from any thread.
// Bound: each wait has a deadline; at most waits_max waits at once, further ones fail with
// RESOURCE_EXHAUSTED.

#include <atomic>
#include <condition_variable>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/executor.h"
#include "common/base/status.h"
#include "common/base/task.h"
#include "services/model/position.h"

namespace klatch {

class Progress {
 public:
  Progress(uint32_t shard_count, uint32_t worker_count, base::Executor& executor,
           const base::Clock& clock);
  ~Progress();

  // By worker `worker`: everything in `shard` up to `position` is applied by it. Positions never go
  // back.
  void Advance(uint32_t worker, ShardIndex shard, Position position);
  // By worker `worker`, after a batch of Advance: wakes waits that may be over.
  void Notify();

  // What worker `worker` has applied.
  Position AppliedBy(uint32_t worker, ShardIndex shard) const;
  uint32_t worker_count() const { return worker_count_; }

  // The lowest position over all workers.
  Position Applied(ShardIndex shard) const;

  // Continues on the executor. OK when all of `tokens` are applied; DEADLINE_EXCEEDED if `deadline`
  // comes first; INVALID_ARGUMENT ("tokens[i].shard") for a shard that doesn't exist; UNAVAILABLE
  // when the node stops.
  base::Task<absl::Status> WaitApplied(std::vector<Token> tokens, base::MonotonicTime deadline);

  // Of what was read of the shard, nothing up to `position` had been cut off before: a checkpoint may move there, and
  // no further. All is, until this is called first.
  void NoteWhole(ShardIndex shard, Position position);
  Position WholeUpTo(ShardIndex shard) const;

  // A page over groups of `shard` was read: keep its time moving (see Ticker) for a while.
  void NoteRead(ShardIndex shard);
  // When the shard was last read; the epoch of the clock if never.
  base::MonotonicTime LastRead(ShardIndex shard) const;

  // When the tailer last got an answer from Redis: everything appended before then was seen. What
  // staleness is measured by.
  void NoteHeard(base::MonotonicTime now);
  base::MonotonicTime LastHeard() const;

  // Ends all waits with UNAVAILABLE, and those that come later. Positions move on, so that a node
  // that has stopped waiting can still apply the rest of the log. Idempotent; any thread.
  void Stop();

 private:
  struct Wait;
  struct WaitAwaiter;
  void Run();
  bool IsApplied(std::span<const Token> tokens) const;

  const uint32_t shard_count_;
  const uint32_t worker_count_;
  base::Executor& executor_;
  const base::Clock& clock_;

  // applied_[worker * shard_count + shard]. Written by the worker with release: it publishes what
  // the worker applied (timelines, memberships) to whoever loads with acquire and then reads that
  // state.
  std::unique_ptr<std::atomic<uint64_t>[]> applied_;
  // By shard. A bound, which may be behind: relaxed.
  std::unique_ptr<std::atomic<uint64_t>[]> whole_;
  // Gauges: publish nothing, relaxed.
  std::unique_ptr<std::atomic<int64_t>[]> last_read_ns_;
  std::atomic<int64_t> last_heard_ns_{0};

  // Waits that are registered or about to be; workers look at it before they wake anybody.
  std::atomic<uint32_t> waiting_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_.
  std::vector<Wait*> waits_;
  bool notified_ = false;
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace klatch
