#pragma once
// The groups that this process has seen, each with a dense index that entries and memberships carry
// instead of the id. Indexes are given out in the order of first sight and never stored or reused.
//
// Thread safety: one writer (the loader at start, then the tailer); Find and At from any thread
// without a lock. Bound: groups_max groups; FindOrAdd answers nothing past it.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "common/lockfree/insert_only_table.h"
#include "services/model/ids.h"
#include "services/model/layout.h"
#include "services/model/position.h"

namespace klatch {

struct GroupEntry {
  GroupId id;
  ShardIndex shard;
  GroupIndex index;
  // What stands in the group before this position is kept no longer. Written by the directory's
  // writer with release, before a worker sees the record that says so. Partner: KeptSince.
  mutable std::atomic<uint64_t> kept_since{0};

  // Acquire, so that who sees it late sees it no later than the record it comes from is applied.
  Position KeptSince() const { return Position(kept_since.load(std::memory_order_acquire)); }

  std::string_view key() const { return id.value(); }
};

class GroupDirectory {
 public:
  GroupDirectory(const Layout& layout, uint32_t groups_max);
  ~GroupDirectory();

  // Writer only. Nothing if the directory is full.
  std::optional<GroupIndex> FindOrAdd(const GroupId& group);

  // Writer only. A position that is not later than what is known changes nothing: what is gone does
  // not come back, whatever a replay says.
  void RaiseKeptSince(GroupIndex group, Position kept_since);

  // Null if this process has not seen the group.
  const GroupEntry* Find(const GroupId& group) const;
  // REQUIRES: index was given out by this directory.
  const GroupEntry& At(GroupIndex index) const;
  uint32_t size() const;

 private:
  const Layout layout_;
  const uint32_t groups_max_;
  lockfree::InsertOnlyTable<GroupEntry> table_;
};

}  // namespace klatch
