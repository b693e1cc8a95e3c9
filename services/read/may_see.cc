#include "services/read/may_see.h"

namespace klatch {

Visibility MaySee(const ViewerState& viewer, GroupIndex group, UpdateId position_in_group,
                  const BodyHeader& update) {
  const Membership* membership =
      viewer.memberships == nullptr ? nullptr : viewer.memberships->Find(group);
  if (membership == nullptr || membership->stay.role == Role::kNone) {
    return Visibility::kNotMember;
  }
  switch (update.audience) {
    case AudienceRule::kMembersNow:
      return position_in_group >= membership->stay.visible_from ? Visibility::kVisible
                                                                : Visibility::kBeforeVisible;
    case AudienceRule::kMembersAtPosting:
    case AudienceRule::kGroupDefault:
      break;
  }
  // An audience that was never resolved is read as the narrowest: a leak is worse than a gap.
  return position_in_group >= membership->stay.joined ? Visibility::kVisible
                                                      : Visibility::kBeforeJoin;
}

}  // namespace klatch
