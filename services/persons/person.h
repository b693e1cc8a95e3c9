#pragma once
// What a node that owns a person holds of them in memory: the recent part of their timelines, and
// their memberships.
//
// Thread safety: one worker writes (the one that owns the person's partition); any thread reads,
// without a lock. A Person is never moved or freed while the node runs. A MembershipList is
// immutable; a reader holds an epoch guard for as long as it looks at one.

#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "common/lockfree/published_pointer.h"
#include "common/lockfree/timeline_ring.h"
#include "services/model/ids.h"
#include "services/model/membership.h"

namespace klatch {

// A person's stay in one group as the owner has applied it.
struct Membership {
  GroupIndex group;
  Stay stay;
  Position position;  // of the last change; older records about it are ignored
};

// The memberships of one person, ordered by group index. Entries whose role is kNone are tombstones
// of who left.
class MembershipList {
 public:
  explicit MembershipList(std::vector<Membership> items) : items_(std::move(items)) {}

  std::span<const Membership> items() const { return items_; }
  // Null if the person was never seen in the group. May be a tombstone.
  const Membership* Find(GroupIndex group) const;

 private:
  std::vector<Membership> items_;
};

struct Person {
  Person() = default;
  Person(const Person&) = delete;
  Person& operator=(const Person&) = delete;

  PersonId id;
  PartitionIndex partition;
  uint32_t index = 0;  // within its worker

  // Written by the worker; read with the ring's own protocol.
  lockfree::TimelineRing* home = nullptr;
  lockfree::TimelineRing* posts = nullptr;

  // Replaced by the worker, read under a guard of the node's epochs.
  lockfree::PublishedPointer<MembershipList> memberships;

  // The oldest id that was dropped and not yet rebuilt, or 0. Written by the worker; read by pages
  // for what they say, so relaxed suffices.
  std::atomic<uint64_t> hole_since{0};
  // How often something was dropped. Written by the worker; the flusher only compares, so relaxed
  // suffices.
  std::atomic<uint64_t> hole_generation{0};
  // Since when copies may be missing, because the person has not read for long, and are not
  // fetched yet; 0: none are. Written by the worker, with release before it leaves out the first
  // copy, and after what was missing is stored; read with acquire, after the reader has noted how far
  // the worker has come: who finds 0 finds copies of all up to there.
  std::atomic<uint64_t> quiet_since{0};
  // When the person last read, on the monotonic clock in ns, and whether the worker was told that
  // they are back. Written by readers, too; hints, so relaxed suffices.
  mutable std::atomic<int64_t> seen_ns{0};
  mutable std::atomic<bool> is_woken{false};
  // The oldest id of a post that is neither in memory nor written to the stored ring yet, or 0.
  // Written by the worker before the post counts as applied; read by pages, so relaxed suffices.
  std::atomic<uint64_t> posts_hole_since{0};
  // The epoch whose batch holds this person's last such post. The worker's own.
  uint32_t spill_epoch = 0;
  // The epoch whose batch names this person's hole, and where. The worker's own.
  uint32_t hole_epoch = 0;
  uint32_t hole_place = 0;

  std::string_view key() const { return id.value(); }
};

}  // namespace klatch
