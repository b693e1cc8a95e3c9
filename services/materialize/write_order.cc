#include "services/materialize/write_order.h"

#include <algorithm>

namespace klatch {

uint32_t& WriteOrder::LastStepOf(TimelineRef timeline) {
  if (timeline.value >= last_step_.size()) {
    last_step_.resize(std::max<size_t>(timeline.value + 1, last_step_.size() * 2));
  }
  return last_step_[timeline.value];
}

void WriteOrder::Sort(std::vector<TimelineRef>& timelines,
                      const std::function<Facts(TimelineRef)>& facts_of) {
  struct Keyed {
    uint64_t order;
    TimelineRef timeline;
  };
  std::vector<Keyed> keyed;
  keyed.reserve(timelines.size());
  for (const TimelineRef timeline : timelines) {
    const Facts facts = facts_of(timeline);
    const uint64_t is_shallow = facts.is_deep ? 0 : 1;
    keyed.push_back(
        {is_shallow << 63 | uint64_t{LastStepOf(timeline)} << 16 | facts.partition.value(),
         timeline});
  }
  std::ranges::sort(keyed, {}, &Keyed::order);
  std::ranges::transform(keyed, timelines.begin(), &Keyed::timeline);
}

void WriteOrder::NoteStep(std::span<const TimelineRef> timelines) {
  ++step_;
  for (const TimelineRef timeline : timelines) {
    LastStepOf(timeline) = step_;
  }
}

}  // namespace klatch
