#pragma once
// The tailer: one thread that follows all shards of the log, decodes each record once and hands it
// to every worker over the broadcast ring. It waits for workers when the ring is full, never for
// writes to Redis.
//
// Thread safety: Start and Stop by the owner; the rest is the tailer's own thread. Gauges from any
// thread. What happens when the log can't be read: it keeps trying; LastHeard of Progress grows
// old, so reads say that they are stale. A record that can't be decoded ends the tailing (nothing
// may be skipped in silence): `failure()` says why and the node is not ready. So does a log that has
// forked, or was trimmed beyond what was read: UNAVAILABLE with reason RELOAD; after an error, and each
// second, it is looked at first whether what was read is still there.

#include <atomic>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/lockfree/broadcast_ring.h"
#include "common/obs/log.h"
#include "services/deliver/event.h"
#include "services/deliver/progress.h"
#include "services/log/body_store.h"
#include "services/log/log_reader.h"
#include "services/log/log_trail.h"

namespace klatch {

class Tailer {
 public:
  struct Dependencies {
    const Layout& layout;
    LogReader& log;
    LogTrail& trail;
    GroupDirectory& groups;
    BodyStore& bodies;
    Progress& progress;
    lockfree::BroadcastRing<Event>& ring;
    const base::Clock& clock;
  };

  // Starts behind `after`, one position per shard. While the anchors stand in the logs, all that stood behind `after`
  // does; of a shard that has none (a zero), what it reads first is taken as it is.
  Tailer(Dependencies dependencies, std::vector<Position> after, std::vector<LogMark> anchors);
  ~Tailer();

  void Start();
  // Ends the thread; records read by then have been handed over.
  void Stop();
  // Instead of Start, by the caller's thread: one bounded step, which reads up to a batch and hands it
  // over. How many records it handed over; nothing if the log could not be read.
  std::optional<size_t> DoWork();

  uint64_t records() const { return records_.load(std::memory_order_relaxed); }
  absl::Status failure() const;

 private:
  void Run();
  // Whether what was read last, and what had been when this was asked before, still stands in the logs.
  absl::Status CheckTrail();
  absl::Status HandOver(const LogEntry& entry);
  Event* ClaimSlot();

  Dependencies d_;
  // The tailer's own.
  std::vector<Position> after_;
  std::vector<LogEntry> entries_;
  bool must_check_ = true;
  base::MonotonicTime checked_{};
  // By shard, zero for none. What was read last, and what had been at the last check: logs are cut at their older end, so
  // while this is there, what was read behind it was whole.
  std::vector<LogMark> last_read_;
  std::vector<LogMark> anchors_;
  obs::LogLimiter error_lines_{1};

  std::atomic<uint64_t> records_{0};  // a counter; publishes nothing
  // A flag; what it stops is joined by Stop, so relaxed suffices.
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  absl::Status failure_;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace klatch
