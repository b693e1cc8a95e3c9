#pragma once
// The one function that decides who sees what (DESIGN: "One function decides who sees what"). Home,
// group and profile pages, single updates and whatever shows updates later ask here and nowhere
// else.
//
// Thread safety: pure. The caller keeps what ViewerState points at alive (Viewer does).
// What it does not decide: deleted and expired updates have no body, so there is nothing to ask
// about.

#include "services/model/body.h"
#include "services/model/ids.h"
#include "services/model/position.h"
#include "services/persons/person.h"

namespace klatch {

// Everything about the viewer that a decision looks at. Blocks and mutes will stand here too.
struct ViewerState {
  // Null for a person that nobody knows: a member of nothing.
  const MembershipList* memberships = nullptr;
};

// Why an update is shown or not. Values are for explanations and counters, never stored.
enum class Visibility {
  kVisible,
  // Not a member of the group now.
  kNotMember,
  // For members at posting; the viewer's current stay began later.
  kBeforeJoin,
  // For members now; the group's past is open to the viewer only from a later position on.
  kBeforeVisible,
};

// Whether `viewer` may see an update in `group`. `position_in_group` is the update's position in
// that group's shard: its id, if it was posted there.
Visibility MaySee(const ViewerState& viewer, GroupIndex group, UpdateId position_in_group,
                  const BodyHeader& update);

}  // namespace klatch
