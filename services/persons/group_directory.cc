#include "services/persons/group_directory.h"

#include <utility>

#include "common/base/hash.h"

namespace klatch {

absl::Status NoRoomForGroup() {
  return base::Error(absl::StatusCode::kResourceExhausted,
                     "more groups than --groups-max; raise it and restart");
}

GroupDirectory::GroupDirectory(const Layout& layout, uint32_t groups_max)
    : layout_(layout), groups_max_(groups_max), table_(groups_max) {}

GroupDirectory::~GroupDirectory() = default;

std::optional<GroupIndex> GroupDirectory::FindOrAdd(std::string_view group) {
  return FindOrAdd(group, base::StableHash64(group));
}

std::optional<GroupIndex> GroupDirectory::FindOrAdd(std::string_view group, uint64_t hash) {
  if (const GroupEntry* entry = table_.Find(group, hash)) {
    return entry->index;
  }
  if (table_.size() >= groups_max_) {
    return std::nullopt;
  }
  const GroupId id(group);
  const GroupIndex index(static_cast<uint32_t>(table_.size()));
  table_.Insert(std::make_unique<GroupEntry>(id, layout_.ShardOf(id), index), hash);
  return index;
}

absl::StatusOr<std::vector<GroupIndex>> GroupDirectory::FindOrAddAll(
    std::span<const std::string_view> groups) {
  std::vector<uint64_t> hashes;
  hashes.reserve(groups.size());
  for (const std::string_view group : groups) {
    hashes.push_back(base::StableHash64(group));
    table_.PrefetchSlot(hashes.back());
  }
  for (const uint64_t hash : hashes) {
    table_.PrefetchFirst(hash);
  }
  std::vector<GroupIndex> indexes;
  indexes.reserve(groups.size());
  for (size_t i = 0; i < groups.size(); ++i) {
    const auto index = FindOrAdd(groups[i], hashes[i]);
    if (!index) {
      return NoRoomForGroup();
    }
    indexes.push_back(*index);
  }
  return indexes;
}

void GroupDirectory::RaiseKeptSince(GroupIndex group, Position kept_since) {
  std::atomic<uint64_t>& known = At(group).kept_since;
  // Its own store, or 0.
  if (kept_since.value() > known.load(std::memory_order_relaxed)) {
    known.store(kept_since.value(), std::memory_order_release);
  }
}

void GroupDirectory::NoteDelivery(GroupIndex group, Position position, bool is_pulled) {
  const GroupEntry& entry = At(group);
  // Its own store, or 0.
  if (Position(entry.feed_mark.load(std::memory_order_relaxed)) >= position) {
    return;
  }
  if (is_pulled != entry.is_pulled) {
    entry.is_pulled = is_pulled;
    pulled_.fetch_add(is_pulled ? 1 : -1, std::memory_order_relaxed);
  }
  // Release: the partner is FeedMark's acquire. Workers learn of the switch later, over the ring.
  entry.feed_mark.store(position.value(), std::memory_order_release);
}

void GroupDirectory::ForgetFeed(GroupIndex group, Position position) {
  std::atomic<uint64_t>& mark = At(group).feed_mark;
  uint64_t known = mark.load(std::memory_order_acquire);
  // A switch behind `position` may come between: its mark stays. acq_rel, so that who finds no mark
  // any more sees what was known when it went.
  if (Position(known) <= position) {
    mark.compare_exchange_strong(known, 0, std::memory_order_acq_rel);
  }
}

const GroupEntry* GroupDirectory::Find(const GroupId& group) const {
  return table_.Find(group.value());
}

const GroupEntry& GroupDirectory::At(GroupIndex index) const { return table_.At(index.value()); }

uint32_t GroupDirectory::size() const { return static_cast<uint32_t>(table_.size()); }

}  // namespace klatch
