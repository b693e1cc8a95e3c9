#pragma once
// What a scrub compares, and what it finds: pure functions of what was read.
//
//   members:<group>   what the group says     ─┐ differ: a finding about the membership
//   groups:<person>   the stored view         ─┤
//   memory            the view that reads use ─┘
//   feed:<group>      ids of the group        ─┐ due by the stay, among the newest, and not
//   timeline:<person> ids of the person       ─┘ there: a finding about the copy
//
// Thread safety: values; functions without state.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "klatch/v1/admin_service.pb.h"
#include "services/deliver/mend.h"
#include "services/model/ids.h"
#include "services/model/layout.h"
#include "services/model/membership.h"
#include "services/model/position.h"
#include "services/persons/group_directory.h"
#include "services/persons/person.h"

namespace klatch {

// Of one person in one group.
struct ThreeViews {
  GroupId group;
  std::string members;               // the stay's bytes; empty: no member
  std::optional<Membership> memory;  // not even a tombstone: nothing
  std::optional<std::string> view;   // the stored bytes
};

// One thing that is wrong, and what it takes to mend it.
struct Found {
  size_t person = 0;  // place among the persons compared
  v1::Finding finding;
  // What it was seen by: if that is another the second time, it was under way.
  std::string evidence;
  std::optional<MendedStay> stay;
  bool rebuild = false;

  // Whether both are the same finding, seen by the same.
  bool SameAs(const Found& other) const;
};

// Nothing if all three agree. `seen` is an end of the log of the group's shard from before `members`
// was read. A group that this node has never seen can't be mended: `groups` doesn't have it.
std::optional<Found> CompareViews(const ThreeViews& views, Position seen,
                                  const GroupDirectory& groups, const Layout& layout);

// The ids of one group's feed, and the person's stay there.
struct DueFeed {
  const GroupId* group;
  const std::vector<uint64_t>* ids;
  Stay stay;
};

// The ids, newest first, that are due by `feeds`, applied and written by `written`, among the newest
// limits::kTimelineCap of all, and not in `stored`; each with its group.
std::vector<std::pair<uint64_t, const GroupId*>> MissingCopies(
    const std::vector<DueFeed>& feeds, const std::vector<uint64_t>& stored,
    const std::vector<Position>& written);

}  // namespace klatch
