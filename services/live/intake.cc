#include "services/live/intake.h"

#include <algorithm>
#include <tuple>

#include "services/model/limits.h"

namespace klatch {

bool Intake::Add(uint32_t worker, const WatchItem& item) {
  if (pending_[worker].size() >= limits::kWatchPendingMax) {
    return false;
  }
  pending_[worker].push_back(item);
  return true;
}

std::vector<ReadyItem> Intake::TakeReady(std::span<const Position> applied) {
  std::vector<ReadyItem> ready;
  for (uint32_t worker = 0; worker < pending_.size(); ++worker) {
    std::erase_if(pending_[worker], [&](const WatchItem& item) {
      if (item.position > applied[item.position.shard().value()]) {
        return false;
      }
      ready.push_back({worker, item});
      return true;
    });
  }
  std::ranges::stable_sort(ready, {}, [](const ReadyItem& item) {
    return std::tuple(item.item.position, item.item.kind);
  });
  return ready;
}

}  // namespace klatch
