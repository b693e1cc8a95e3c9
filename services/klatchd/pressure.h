#pragma once
// How far delivery and flushing are behind, over all workers, for admission.
//
// Thread safety: any thread, after the last Add.

#include <algorithm>
#include <chrono>
#include <vector>

#include "common/base/clock.h"
#include "services/accept/admission.h"
#include "services/deliver/worker.h"
#include "services/materialize/flusher.h"
#include "services/persons/group_directory.h"

namespace klatch {

class FlushPressure final : public Pressure {
 public:
  FlushPressure(const base::Clock& clock, const GroupDirectory& groups, uint32_t groups_max)
      : clock_(clock), groups_(groups), groups_full_at_(groups_max - groups_max / 16) {}

  void Add(const Worker& worker, const Flusher& flusher) { pairs_.push_back({&worker, &flusher}); }

  std::chrono::milliseconds OldestUnflushedAge() const override {
    std::chrono::milliseconds oldest{0};
    for (const Pair& pair : pairs_) {
      if (pair.worker->delivered() > pair.flusher->flushed()) {
        oldest = std::max(oldest, std::chrono::duration_cast<std::chrono::milliseconds>(
                                      clock_.Monotonic() - pair.flusher->written_until()));
      }
    }
    return oldest;
  }

  // With a sixteenth left for groups that are in the log and not applied yet.
  bool GroupsFull() const override { return groups_.size() >= groups_full_at_; }

  bool TimelinesTight() const override {
    return std::ranges::any_of(pairs_, [](const Pair& pair) { return pair.worker->tight(); });
  }

 private:
  struct Pair {
    const Worker* worker;
    const Flusher* flusher;
  };

  const base::Clock& clock_;
  const GroupDirectory& groups_;
  const uint32_t groups_full_at_;
  std::vector<Pair> pairs_;
};

}  // namespace klatch
