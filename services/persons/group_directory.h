#pragma once
// The groups that this process has seen, each with a dense index that entries and memberships carry
// instead of the id. Indexes are given out in the order of first sight and never stored or reused.
//
// Of each group it also says whether its feed may hold updates that were not copied to the members.
//
//   tailer: mark := position of the switch  release ─▶ ring ─▶ worker skips copies ─▶ Progress
//   reader: Progress  acquire ─▶ mark  acquire ─▶ the ring in memory
//
// The mark is set before any worker skips a copy, so who first notes how far a worker has come and
// then finds no mark, finds copies of all up to there.
//
// Thread safety: one writer (the loader at start, then the tailer); Find, At, FeedMark and the
// gauge from any thread without a lock. Bound: groups_max groups; FindOrAdd answers nothing past it.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/lockfree/insert_only_table.h"
#include "services/model/ids.h"
#include "services/model/layout.h"
#include "services/model/position.h"

namespace klatch {

// In one cache line: who finds the name has the rest.
struct alignas(64) GroupEntry {
  GroupId id;
  ShardIndex shard;
  GroupIndex index;
  // What stands in the group before this position is kept no longer. Written by the directory's
  // writer with release, before a worker sees the record that says so. Partner: KeptSince.
  mutable std::atomic<uint64_t> kept_since{0};

  // Acquire, so that who sees it late sees it no later than the record it comes from is applied.
  Position KeptSince() const { return Position(kept_since.load(std::memory_order_acquire)); }

  // The position of the last switch of its delivery that is known, while its feed may hold what was
  // not copied; 0: all was copied. Written by the directory's writer with release; ForgetFeed clears
  // it. Partner: FeedMark.
  mutable std::atomic<uint64_t> feed_mark{0};
  // How many of its members the workers of this node hold. Written by workers; see GroupSizes.
  mutable std::atomic<uint32_t> members{0};
  // Of the last switch that is known. The writer's own.
  mutable bool is_pulled = false;

  std::string_view key() const { return id.value(); }
};

// RESOURCE_EXHAUSTED, with what the operator can do about a directory that is full.
absl::Status NoRoomForGroup();

class GroupDirectory {
 public:
  GroupDirectory(const Layout& layout, uint32_t groups_max);
  ~GroupDirectory();

  // Writer only. Nothing if the directory is full.
  std::optional<GroupIndex> FindOrAdd(std::string_view group);
  std::optional<GroupIndex> FindOrAdd(const GroupId& group) { return FindOrAdd(group.value()); }
  // The same of many at once, which waits for memory once and not for each. RESOURCE_EXHAUSTED if the
  // directory is full.
  absl::StatusOr<std::vector<GroupIndex>> FindOrAddAll(std::span<const std::string_view> groups);

  // Writer only. A position that is not later than what is known changes nothing: what is gone does
  // not come back, whatever a replay says.
  void RaiseKeptSince(GroupIndex group, Position kept_since);
  // Writer only: the group's updates are read from its feed, or copied again, from `position` on.
  // What is older than what is known is passed over.
  void NoteDelivery(GroupIndex group, Position position, bool is_pulled);
  // Nothing that was not copied is left in the feed, as of `position`. Any thread.
  void ForgetFeed(GroupIndex group, Position position);
  // Zero: all that is in the group's feed, as far as it was applied before, was copied to members.
  Position FeedMark(GroupIndex group) const {
    // Acquire, partner of NoteDelivery: who sees the mark of a switch sees what stood before it.
    return Position(At(group).feed_mark.load(std::memory_order_acquire));
  }
  // How many groups are pulled. A gauge.
  uint32_t pulled() const { return pulled_.load(std::memory_order_relaxed); }

  // Null if this process has not seen the group.
  const GroupEntry* Find(const GroupId& group) const;
  // Asks for the cache line of what At says.
  void Prefetch(GroupIndex index) const { __builtin_prefetch(&At(index)); }
  // REQUIRES: index was given out by this directory.
  const GroupEntry& At(GroupIndex index) const;
  uint32_t size() const;

 private:
  std::optional<GroupIndex> FindOrAdd(std::string_view group, uint64_t hash);

  const Layout layout_;
  const uint32_t groups_max_;
  lockfree::InsertOnlyTable<GroupEntry> table_;
  std::atomic<uint32_t> pulled_{0};  // a gauge; publishes nothing
};

}  // namespace klatch
