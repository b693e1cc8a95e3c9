#pragma once
// The person who looks: access to their memberships as this node has applied them at the moment of
// asking, to what they have decided for themselves, and to what has expired by then.
//
// Every method loads memberships and personal state anew, and holds an epoch guard only while it
// looks, so a Viewer may be kept across co_await, and asking again later tells whether something was
// taken away meanwhile.
//
// Thread safety: one thread at a time; the worker may change the person meanwhile.
// Lifetime: `people`, `personal`, `groups`, `applied` and the retention's clock outlive it.

#include <chrono>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "services/personal/personal_store.h"
#include "services/persons/group_directory.h"
#include "services/persons/people.h"
#include "services/read/applied_prefix.h"
#include "services/read/may_see.h"
#include "services/read/page.h"

namespace klatch {

// How long updates are kept, and whose clock tells.
struct Retention {
  const base::Clock& clock;
  std::chrono::milliseconds kept;
};

// A moment in which viewers look: a guard of the people's epochs, and the time. Who judges one update
// for many takes one for all of them. Don't keep it across a wait.
class Moment {
 public:
  Moment(People& people, const Retention& retention)
      : guard_(people.epochs()), now_(retention.clock.Wall()), expired_(now_ - retention.kept) {}

 private:
  friend class Viewer;

  const lockfree::EpochReclaimer::Guard guard_;
  const base::WallTime now_;
  const base::WallTime expired_;
  // The group that was looked for last.
  mutable const GroupEntry* group_ = nullptr;
};

class Viewer {
 public:
  // `surface` says where the updates that are judged are to be shown. `applied` was taken before and
  // outlives the viewer: memberships that are loaded later can judge what stands in the log up to
  // there.
  Viewer(People& people, const PersonalStore& personal, const GroupDirectory& groups,
         const AppliedPrefix& applied, Retention retention, PersonId id, Surface surface)
      : people_(people),
        personal_(personal),
        groups_(groups),
        applied_(applied),
        retention_(retention),
        id_(std::move(id)),
        surface_(surface) {}

  // From now on an update of several groups is visible only through this one, as on its page.
  void LookOnlyThrough(GroupId group) { only_ = std::move(group); }

  const PersonId& id() const { return id_; }

  bool IsMember(GroupIndex group) const;
  // Either has blocked the other.
  bool HasBlockWith(const PersonId& person) const {
    return personal_.IsBlockedBetween(id_, person);
  }

  // The shards of the groups that the viewer is in, each once, in order.
  std::vector<ShardIndex> Shards() const;

  // What MaySee says of each entry. An entry without a body is kNotMember of anything. An update of
  // several groups is visible if it is through one of them; notes through which.
  std::vector<Visibility> Judge(std::span<PageEntry> entries) const;

  // The same of one, in a moment that is shared; the memberships are those of the call.
  Visibility Judge(const Moment& moment, PageEntry& entry) const;

  // Removes the entries that the viewer may not see.
  void RetainVisible(std::vector<PageEntry>& entries) const;

 private:
  // What holds now; valid as long as the moment.
  ViewerState StateIn(const Moment& moment) const;
  // Null if this node has not seen it.
  const GroupEntry* FindGroup(const Moment& moment, const GroupId& group) const;
  Visibility JudgeOne(const Moment& moment, const ViewerState& state, PageEntry& entry) const;
  Visibility JudgeSeveral(const Moment& moment, const ViewerState& state, PageEntry& entry) const;
  Visibility JudgeThrough(const Moment& moment, const ViewerState& state, const PageEntry& entry,
                          const Target& target) const;

  People& people_;
  const PersonalStore& personal_;
  const GroupDirectory& groups_;
  const AppliedPrefix& applied_;
  const Retention retention_;
  const PersonId id_;
  const Surface surface_;
  GroupId only_;  // empty: through all

  // Found once, where they stay.
  mutable const Person* person_ = nullptr;
  mutable PersonalStore::Place personal_place_;
};

}  // namespace klatch
