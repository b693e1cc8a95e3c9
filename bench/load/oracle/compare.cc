#include "bench/load/oracle/compare.h"

#include <algorithm>
#include <unordered_set>

namespace klatch::load {
namespace {

const DueUpdate* Find(std::span<const DueUpdate> due, uint64_t id) {
  auto found =
      std::lower_bound(due.begin(), due.end(), id,
                       [](const DueUpdate& update, uint64_t wanted) { return update.id > wanted; });
  return found != due.end() && found->id == id ? &*found : nullptr;
}

// Judges what is shown; returns how many places of the window others' updates take.
size_t JudgeShown(std::span<const DueUpdate> due, const Shown& shown, const ClassifyStray& classify,
                  std::unordered_set<uint64_t>& seen, Differences& result) {
  size_t foreign = 0;
  uint64_t last = UINT64_MAX;
  for (uint64_t id : shown.ids) {
    result.out_of_order = result.out_of_order || id > last;
    last = id;
    if (!seen.insert(id).second) {
      result.duplicated.push_back(id);
      continue;
    }
    if (const DueUpdate* update = Find(due, id); update != nullptr) {
      if (update->access == Access::kNone || update->access == Access::kPast) {
        result.leaked.push_back(id);
      }
      continue;
    }
    switch (classify(id)) {
      case Stray::kForeign:
        foreign += !due.empty() && id > due.back().id ? 1 : 0;
        break;
      case Stray::kDuplicate:
        result.duplicated.push_back(id);
        break;
      case Stray::kLeak:
        result.leaked.push_back(id);
        break;
    }
  }
  return foreign;
}

}  // namespace

Differences Compare(std::span<const DueUpdate> due, const Shown& shown, size_t cap,
                    const ClassifyStray& classify) {
  Differences result;
  std::unordered_set<uint64_t> seen;
  seen.reserve(shown.ids.size());
  size_t foreign = JudgeShown(due, shown, classify, seen, result);
  size_t required = cap > foreign ? cap - foreign : 0;
  for (size_t i = 0; i < due.size(); ++i) {
    if (due[i].access != Access::kVisible || seen.contains(due[i].id)) {
      continue;
    }
    if (i < required || !shown.says_trimmed) {
      result.lost.push_back(due[i].id);
    } else {
      ++result.trimmed;
    }
  }
  return result;
}

}  // namespace klatch::load
