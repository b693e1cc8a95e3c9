#pragma once
// In which order a flusher writes timelines: whatever was written longest ago comes first, so that no
// entry waits for much longer than a pass over all of them takes; within a step of the pass that wrote
// them, by partition, since what shares a partition shares transactions. Only who is close to holding
// more than a ring can goes before all.
//
// An order of its own for each pass would let an entry wait for two: at the front of one, at the back of
// the next.
//
// Thread safety: one thread.
// Bound: four bytes for each timeline there ever was.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "services/deliver/flush_batch.h"

namespace klatch {

class WriteOrder {
 public:
  struct Facts {
    PartitionIndex partition;
    bool is_deep = false;  // much of it waits
  };

  // Puts `timelines` in that order.
  void Sort(std::vector<TimelineRef>& timelines, const std::function<Facts(TimelineRef)>& facts_of);
  // These are written together, next.
  void NoteStep(std::span<const TimelineRef> timelines);

 private:
  uint32_t& LastStepOf(TimelineRef timeline);

  uint32_t step_ = 0;                // of all passes
  std::vector<uint32_t> last_step_;  // by TimelineRef::value; 0: not written yet
};

}  // namespace klatch
