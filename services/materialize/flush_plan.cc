#include "services/materialize/flush_plan.h"

#include <algorithm>
#include <span>
#include <utility>

#include "services/materialize/stored_ring.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

RingWrite Range(uint32_t slot, std::span<const uint64_t> ids) {
  return {RingWrite::Kind::kSetRange, slot * static_cast<uint32_t>(kSlotBytes), PackIds(ids)};
}

}  // namespace

RingPlan PlanRewrite(std::vector<uint64_t> ids) {
  KeepNewest(ids, limits::kTimelineCap);
  // Oldest first: once the ring wraps, it is the first slots that are overwritten.
  std::ranges::reverse(ids);
  const uint32_t slots = StoredSlotsFor(ids.size());
  RingPlan plan;
  plan.writes.push_back({RingWrite::Kind::kSet, 0, PackRing(ids, slots)});
  plan.after = {true, static_cast<uint16_t>(slots), static_cast<uint16_t>(ids.size() % slots)};
  // A full ring below the last step keeps its cursor at the end, so that the next write grows it.
  if (ids.size() == slots && slots < limits::kStoredSlotsMax) {
    plan.after.cursor = static_cast<uint16_t>(slots);
  }
  return plan;
}

RingPlan PlanAppend(const StoredRing& ring, std::vector<uint64_t> new_ids) {
  if (ring.slots == 0 || new_ids.size() >= limits::kTimelineCap) {
    // Nothing is there yet, or nothing of what is there stays within the cap.
    return PlanRewrite(std::move(new_ids));
  }
  // Oldest first, as above.
  std::ranges::sort(new_ids);
  std::span<const uint64_t> ids = new_ids;
  const uint32_t end = ring.cursor + static_cast<uint32_t>(ids.size());
  RingPlan plan;
  if (end <= ring.slots) {
    plan.writes.push_back(Range(ring.cursor, ids));
    plan.after = {true, ring.slots, static_cast<uint16_t>(end)};
    if (end == limits::kStoredSlotsMax) {
      plan.after.cursor = 0;
    }
    return plan;
  }
  if (ring.slots < limits::kStoredSlotsMax) {
    const uint32_t slots = StoredSlotsFor(end);
    const size_t fitting = std::min<size_t>(ids.size(), slots - ring.cursor);
    plan.writes.push_back(
        {RingWrite::Kind::kGrow, slots * static_cast<uint32_t>(kSlotBytes), std::string()});
    plan.writes.push_back(Range(ring.cursor, ids.first(fitting)));
    plan.after = {true, static_cast<uint16_t>(slots), static_cast<uint16_t>(ring.cursor + fitting)};
    ids = ids.subspan(fitting);
  } else {
    const size_t fitting = ring.slots - ring.cursor;
    plan.writes.push_back(Range(ring.cursor, ids.first(fitting)));
    plan.after = {true, ring.slots, 0};
    ids = ids.subspan(fitting);
  }
  if (plan.after.slots == limits::kStoredSlotsMax) {
    plan.after.cursor %= limits::kStoredSlotsMax;
    if (!ids.empty()) {
      plan.writes.push_back(Range(plan.after.cursor, ids));
      plan.after.cursor = static_cast<uint16_t>(plan.after.cursor + ids.size());
    }
  }
  return plan;
}

}  // namespace klatch
