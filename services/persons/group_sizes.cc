#include "services/persons/group_sizes.h"

#include <utility>

namespace klatch {

void GroupSizes::Add(GroupIndex group) {
  // Relaxed: the count publishes nothing; what crosses is handed over under the mutex.
  const uint32_t count = groups_.At(group).members.fetch_add(1, std::memory_order_relaxed) + 1;
  if (thresholds_.above != 0 && count == thresholds_.above + 1) {
    Crossed(group);
  }
}

void GroupSizes::Remove(GroupIndex group, uint32_t count) {
  if (count == 0) {
    return;
  }
  const GroupEntry& entry = groups_.At(group);
  const uint32_t before = entry.members.fetch_sub(count, std::memory_order_relaxed);
  const uint32_t least = thresholds_.Least();
  if (before >= least && before - count < least && !groups_.FeedMark(group).is_zero()) {
    Crossed(group);
  }
}

void GroupSizes::Crossed(GroupIndex group) {
  std::lock_guard lock(mutex_);
  crossed_.insert(group);
}

std::set<GroupIndex> GroupSizes::TakeCrossed() {
  std::lock_guard lock(mutex_);
  return std::exchange(crossed_, {});
}

}  // namespace klatch
