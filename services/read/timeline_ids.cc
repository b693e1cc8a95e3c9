#include "services/read/timeline_ids.h"

#include <algorithm>
#include <functional>

#include "common/base/bytes.h"

namespace klatch {

std::vector<UpdateId> DecodeStoredRing(std::string_view packed) {
  std::vector<UpdateId> ids;
  ids.reserve(packed.size() / sizeof(uint64_t));
  for (size_t i = 0; i + sizeof(uint64_t) <= packed.size(); i += sizeof(uint64_t)) {
    const UpdateId id(base::LoadLittleEndian<uint64_t>(packed, i));
    if (!id.is_zero()) {
      ids.push_back(id);
    }
  }
  return ids;
}

TimelineIds MergeIds(std::span<const UpdateId> a, std::span<const UpdateId> b, size_t cap) {
  TimelineIds merged;
  merged.ids.reserve(a.size() + b.size());
  merged.ids.insert(merged.ids.end(), a.begin(), a.end());
  merged.ids.insert(merged.ids.end(), b.begin(), b.end());
  std::ranges::sort(merged.ids, std::greater<>());
  merged.ids.erase(std::unique(merged.ids.begin(), merged.ids.end()), merged.ids.end());
  if (merged.ids.size() > cap) {
    merged.ids.resize(cap);
    merged.is_cut = true;
  }
  return merged;
}

std::span<const UpdateId> IdsBelow(std::span<const UpdateId> ids, UpdateId below) {
  const auto first =
      std::ranges::partition_point(ids, [below](UpdateId id) { return id >= below; });
  return ids.subspan(static_cast<size_t>(first - ids.begin()));
}

}  // namespace klatch
