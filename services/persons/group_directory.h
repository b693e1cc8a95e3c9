#pragma once
// The groups that this process has seen, each with a dense index that entries and memberships carry
// instead of the id. Indexes are given out in the order of first sight and never stored or reused.
//
// Thread safety: one writer (the loader at start, then the tailer); Find and At from any thread
// without a lock. Bound: groups_max groups; FindOrAdd answers nothing past it.

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "common/lockfree/insert_only_table.h"
#include "services/model/ids.h"
#include "services/model/layout.h"

namespace klatch {

struct GroupEntry {
  GroupId id;
  ShardIndex shard;
  GroupIndex index;

  std::string_view key() const { return id.value(); }
};

class GroupDirectory {
 public:
  GroupDirectory(const Layout& layout, uint32_t groups_max);
  ~GroupDirectory();

  // Writer only. Nothing if the directory is full.
  std::optional<GroupIndex> FindOrAdd(const GroupId& group);

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
