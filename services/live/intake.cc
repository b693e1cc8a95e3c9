#include "services/live/intake.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "services/model/limits.h"

namespace klatch {
namespace {

bool IsOfOneEvent(const WatchItem& a, const WatchItem& b) {
  return a.position == b.position && a.kind == b.kind && a.update == b.update && a.group == b.group;
}

}  // namespace

bool Intake::Add(uint32_t worker, const WatchItem& item) {
  Pending& pending = pending_[worker];
  if (pending.persons >= limits::kWatchPendingMax) {
    return false;
  }
  ++pending.persons;
  if (pending.items.empty() || !IsOfOneEvent(pending.items.back().item, item)) {
    pending.items.push_back({worker, item, {}});
  }
  pending.items.back().persons.push_back(item.person);
  return true;
}

std::vector<ReadyItem> Intake::TakeReady(std::span<const Position> applied) {
  std::vector<ReadyItem> ready;
  for (Pending& pending : pending_) {
    std::erase_if(pending.items, [&](ReadyItem& waiting) {
      if (waiting.item.position > applied[waiting.item.position.shard().value()]) {
        return false;
      }
      pending.persons -= waiting.persons.size();
      ready.push_back(std::move(waiting));
      return true;
    });
  }
  std::ranges::stable_sort(
      ready, {}, [](const ReadyItem& one) { return std::tuple(one.item.position, one.item.kind); });
  return ready;
}

}  // namespace klatch
