#include "services/persons/group_directory.h"

#include <utility>

namespace klatch {

GroupDirectory::GroupDirectory(const Layout& layout, uint32_t groups_max)
    : layout_(layout), groups_max_(groups_max), table_(groups_max) {}

GroupDirectory::~GroupDirectory() = default;

std::optional<GroupIndex> GroupDirectory::FindOrAdd(const GroupId& group) {
  if (const GroupEntry* entry = table_.Find(group.value())) {
    return entry->index;
  }
  if (table_.size() >= groups_max_) {
    return std::nullopt;
  }
  const GroupIndex index(static_cast<uint32_t>(table_.size()));
  table_.Insert(std::make_unique<GroupEntry>(group, layout_.ShardOf(group), index));
  return index;
}

void GroupDirectory::RaiseKeptSince(GroupIndex group, Position kept_since) {
  std::atomic<uint64_t>& known = At(group).kept_since;
  // Its own store, or 0.
  if (kept_since.value() > known.load(std::memory_order_relaxed)) {
    known.store(kept_since.value(), std::memory_order_release);
  }
}

const GroupEntry* GroupDirectory::Find(const GroupId& group) const {
  return table_.Find(group.value());
}

const GroupEntry& GroupDirectory::At(GroupIndex index) const { return table_.At(index.value()); }

uint32_t GroupDirectory::size() const { return static_cast<uint32_t>(table_.size()); }

}  // namespace klatch
