#pragma once
// Items of all workers, in the order in which the live thread shows them. A worker may be ahead of
// the others; what it tells waits here until all have come as far, so that an update is shown once
// to all whom it reaches, and so that "everything up to here was shown" can be said.
//
// Thread safety: one thread, the live thread.
// Bound: limits::kWatchPendingMax items per worker; past it Add says false, and the worker has to
// be begun anew.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "services/deliver/watch_tap.h"
#include "services/model/position.h"

namespace klatch {

// What one worker tells of one record, for all whom it concerns.
struct ReadyItem {
  uint32_t worker = 0;
  WatchItem item;  // of the first person
  absl::InlinedVector<uint32_t, 4> persons;
};

class Intake {
 public:
  explicit Intake(uint32_t workers) : pending_(workers) {}

  // In the order of the worker's ring. False if that is one too many.
  bool Add(uint32_t worker, const WatchItem& item);
  // Forgets what waits of a worker.
  void Drop(uint32_t worker) { pending_[worker] = {}; }

  // Takes what stands at or below `applied` (by shard): by position, and of one record by kind, so
  // that the same event for several persons stands together.
  std::vector<ReadyItem> TakeReady(std::span<const Position> applied);

 private:
  struct Pending {
    std::deque<ReadyItem> items;
    size_t persons = 0;
  };

  std::vector<Pending> pending_;
};

}  // namespace klatch
