#pragma once
// The one function that decides who sees what (DESIGN: "One function decides who sees what"). Home,
// group and profile pages, single updates and whatever shows updates later ask here and nowhere
// else.
//
// Thread safety: pure. The caller keeps what the states point at alive (Viewer does).
// What it does not decide: deleted updates have no body, so there is nothing to ask about.

#include <cstdint>
#include <limits>
#include <string_view>

#include "services/model/body.h"
#include "services/model/ids.h"
#include "services/model/position.h"
#include "services/personal/personal_state.h"
#include "services/persons/person.h"

namespace klatch {

// Where an update is to be shown. Mutes concern what comes home by itself, hidden updates every
// timeline; who asks for an update by its id gets it.
enum class Surface { kHome, kOtherTimeline, kSingle };

// Everything about the viewer and the moment that a decision looks at.
struct ViewerState {
  // The viewer's id.
  std::string_view person{};
  Surface surface = Surface::kSingle;
  // Null for a person that nobody knows: a member of nothing.
  const MembershipList* memberships = nullptr;
  // What was posted then or earlier has expired, in milliseconds since 1970. Redis lets go of a
  // body by its own clock; copies in memory would stay without this.
  int64_t expired_unix_ms = std::numeric_limits<int64_t>::min();
  // What expires by itself has done so if that was not later than this, in the same unit.
  int64_t now_unix_ms = std::numeric_limits<int64_t>::min();
  // Null for a person who has blocked, muted and hidden nothing and is blocked by nobody.
  const PersonalState* personal = nullptr;
};

// Everything about an update that a decision looks at, in one of its groups.
struct UpdateState {
  UpdateId id;
  GroupIndex group;
  std::string_view group_id{};
  // In the group's shard: the id if it was posted there alone, the carry's if it was posted to
  // several groups.
  Position position_in_group;
  // Of the group: what it has before is kept no longer.
  Position kept_since = Position();
  const BodyHeader& header;
  AudienceRule audience = header.audience;  // in this group
};

// Why an update is shown or not. Values are for explanations and counters, never stored.
enum class Visibility {
  kVisible,
  // It was kept for as long as updates are, or as its author or the group wanted. The viewer could
  // see it otherwise.
  kExpired,
  // Not a member of the group now.
  kNotMember,
  // For members at posting; the viewer's current stay began later.
  kBeforeJoin,
  // For members now; the group's past is open to the viewer only from a later position on.
  kBeforeVisible,
  // One of viewer and author has blocked the other.
  kBlocked,
  // The viewer has muted the author or the group, and it would come home.
  kMuted,
  // The viewer has hidden it from their timelines.
  kHidden,
  // Of a post to several groups: the group has not taken it, or has it no longer, or this node has
  // not applied its log so far that the viewer's membership could tell.
  kNotThere,
};

// Whether `viewer` may see `update` through its group.
Visibility MaySee(const ViewerState& viewer, const UpdateState& update);

}  // namespace klatch
