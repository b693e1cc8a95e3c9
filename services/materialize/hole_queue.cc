#include "services/materialize/hole_queue.h"

#include <algorithm>

namespace klatch {

void HoleQueue::Add(const HoleMark& hole, base::MonotonicTime now) {
  auto known = waiting_.find(hole.person);
  if (known == waiting_.end()) {
    Insert(hole, now);
    return;
  }
  HoleMark& waiting = known->second.hole;
  waiting.generation = std::max(waiting.generation, hole.generation);
}

std::vector<HoleMark> HoleQueue::TakeDue(base::MonotonicTime now, size_t count_max) {
  std::vector<HoleMark> taken;
  while (taken.size() < count_max && !due_.empty() && due_.begin()->first <= now) {
    taken.push_back(waiting_.extract(due_.begin()->second).mapped().hole);
    due_.erase(due_.begin());
  }
  return taken;
}

void HoleQueue::NoteFailed(const HoleMark& hole, base::MonotonicTime now) {
  auto [pause, first] = pauses_.try_emplace(hole.person, kPauseMin);
  if (!first) {
    pause->second = std::min(2 * pause->second, kPauseMax);
  }
  Insert(hole, now + pause->second);
}

std::optional<base::MonotonicTime> HoleQueue::NextDue() const {
  if (due_.empty()) {
    return std::nullopt;
  }
  return due_.begin()->first;
}

void HoleQueue::Insert(const HoleMark& hole, base::MonotonicTime due) {
  waiting_.insert_or_assign(hole.person, Waiting{hole, due});
  due_.emplace(due, hole.person);
}

}  // namespace klatch
