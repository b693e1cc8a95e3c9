#pragma once
// Has the log decide how groups deliver: those that have come across a threshold, and, now and then,
// those that are copied again, until nothing that was not copied is left in their feeds.
//
//   workers ── GroupSizes ──▶ switcher ── delivery.lua ──▶ log ──▶ tailer, workers
//
// A decision that can't be had is asked for again; a worker that switches late copies, or reads, a
// little longer than it must, and both are right.
//
// Thread safety: Start and Stop by the owner.
// Lifetime: what it is made of outlives it, and it outlives its tasks: Stop waits for them.
// Bound: one decision under way, one per group and round.

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/obs/log.h"
#include "services/deliver/progress.h"
#include "services/log/appender.h"
#include "services/persons/group_directory.h"
#include "services/persons/group_sizes.h"

namespace klatch {

class DeliverySwitcher {
 public:
  DeliverySwitcher(Appender& appender, GroupDirectory& groups, GroupSizes& sizes,
                   const Progress& progress, const base::Clock& clock);
  ~DeliverySwitcher();

  // When what stood in the log is applied: looks at every group that is, or was, pulled, too.
  void Start();
  // Ends the thread after the decision under way.
  void Stop();

 private:
  void Run();
  // One round; false if a decision could not be had.
  bool DoWork();
  bool Decide(GroupIndex group);
  // Those that have nothing left, as of positions that this node has applied by now.
  void Forget();
  void QueueMarked();
  bool stopping();

  Appender& appender_;
  GroupDirectory& groups_;
  GroupSizes& sizes_;
  const Progress& progress_;
  const base::Clock& clock_;

  // The switcher's own.
  std::set<GroupIndex> due_;
  std::set<GroupIndex> copied_again_;
  std::map<GroupIndex, Position> forgotten_;  // nothing left as of the position
  base::MonotonicTime looked_{};
  obs::LogLimiter error_lines_{1};

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace klatch
