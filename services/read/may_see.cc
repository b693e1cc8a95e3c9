#include "services/read/may_see.h"

namespace klatch {

Visibility MaySee(const ViewerState& viewer, const UpdateState& update) {
  if (update.id.unix_ms() <= viewer.expired_unix_ms) {
    return Visibility::kExpired;
  }
  const Membership* membership =
      viewer.memberships == nullptr ? nullptr : viewer.memberships->Find(update.group);
  if (membership == nullptr || membership->stay.role == Role::kNone) {
    return Visibility::kNotMember;
  }
  switch (update.header.audience) {
    case AudienceRule::kMembersNow:
      return update.position_in_group >= membership->stay.visible_from ? Visibility::kVisible
                                                                       : Visibility::kBeforeVisible;
    case AudienceRule::kMembersAtPosting:
    case AudienceRule::kGroupDefault:
      break;
  }
  // An audience that was never resolved is read as the narrowest: a leak is worse than a gap.
  return update.position_in_group >= membership->stay.joined ? Visibility::kVisible
                                                             : Visibility::kBeforeJoin;
}

}  // namespace klatch
