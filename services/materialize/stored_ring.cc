#include "services/materialize/stored_ring.h"

#include <algorithm>
#include <functional>

#include "common/base/bytes.h"

namespace klatch {
std::string PackIds(std::span<const uint64_t> ids) {
  std::string packed;
  packed.reserve(ids.size() * kSlotBytes);
  for (const uint64_t id : ids) {
    base::AppendLittleEndian(packed, id);
  }
  return packed;
}

std::vector<uint64_t> UnpackIds(std::string_view stored) {
  std::vector<uint64_t> ids;
  ids.reserve(stored.size() / kSlotBytes);
  for (size_t offset = 0; offset + kSlotBytes <= stored.size(); offset += kSlotBytes) {
    const uint64_t id = base::LoadLittleEndian<uint64_t>(stored, offset);
    if (id != 0) {
      ids.push_back(id);
    }
  }
  return ids;
}

void KeepNewest(std::vector<uint64_t>& ids, size_t cap) {
  std::ranges::sort(ids, std::greater<>());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  if (ids.size() > cap) {
    ids.resize(cap);
  }
}

std::string PackRing(std::span<const uint64_t> ids, uint32_t slots) {
  std::string ring = PackIds(ids);
  ring.resize(size_t{slots} * kSlotBytes, '\0');
  return ring;
}

}  // namespace klatch
