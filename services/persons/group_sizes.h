#pragma once
// How many members each group has among the persons of this node, and which groups have come to
// where their delivery is to be decided anew. A hint: what decides is the count in the group's hash,
// of which this one follows with the log.
//
// Thread safety: Add and Remove by workers, each for its own persons; Crossed and TakeCrossed by
// any thread. Lifetime: the directory outlives it.
// Bound: each group waits once at most. Add and Remove take a lock only when a group crosses.

#include <cstdint>
#include <mutex>
#include <set>

#include "services/model/delivery.h"
#include "services/persons/group_directory.h"

namespace klatch {

class GroupSizes {
 public:
  GroupSizes(const GroupDirectory& groups, PullThresholds thresholds)
      : groups_(groups), thresholds_(thresholds) {}

  void Add(GroupIndex group);
  // Asks for the cache line that Add will touch.
  void Prefetch(GroupIndex group) const { groups_.Prefetch(group); }
  void Remove(GroupIndex group, uint32_t count);

  // To be decided anew, whatever its count is.
  void Crossed(GroupIndex group);
  // Those that crossed since the last call, in the order of their indexes.
  std::set<GroupIndex> TakeCrossed();

  PullThresholds thresholds() const { return thresholds_; }

 private:
  const GroupDirectory& groups_;
  const PullThresholds thresholds_;
  std::mutex mutex_;
  std::set<GroupIndex> crossed_;  // guarded by mutex_
};

}  // namespace klatch
