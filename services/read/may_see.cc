#include "services/read/may_see.h"

namespace klatch {
namespace {

// By the viewer's stay in the update's group.
Visibility JudgeStay(const ViewerState& viewer, const UpdateState& update) {
  const Membership* membership =
      viewer.memberships == nullptr ? nullptr : viewer.memberships->Find(update.group);
  if (membership == nullptr || membership->stay.role == Role::kNone) {
    return Visibility::kNotMember;
  }
  switch (update.audience) {
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

// By what the viewer and others have decided for themselves.
Visibility JudgePersonal(const PersonalState& personal, Surface surface,
                         const UpdateState& update) {
  const std::string& author = update.header.author.value();
  if (personal.HasBlockWith(author)) {
    return Visibility::kBlocked;
  }
  if (surface != Surface::kSingle && personal.Hides(update.id)) {
    return Visibility::kHidden;
  }
  if (surface == Surface::kHome && (personal.muted_persons.Contains(author) ||
                                    personal.muted_groups.Contains(update.group_id))) {
    return Visibility::kMuted;
  }
  return Visibility::kVisible;
}

// Redis lets go of bodies by its own clock, and later; what counts is this.
bool IsGone(const ViewerState& viewer, const UpdateState& update) {
  return update.id.unix_ms() <= viewer.expired_unix_ms ||
         update.header.expire_unix_ms <= viewer.now_unix_ms ||
         update.position_in_group < update.kept_since;
}

}  // namespace

Visibility MaySee(const ViewerState& viewer, const UpdateState& update) {
  Visibility verdict = JudgeStay(viewer, update);
  // Authors see their own updates, wherever they have posted them.
  if (verdict == Visibility::kVisible && viewer.personal != nullptr &&
      update.header.author.value() != viewer.person) {
    verdict = JudgePersonal(*viewer.personal, viewer.surface, update);
  }
  // Last, so that nobody is told that something has expired which was never for them.
  return verdict == Visibility::kVisible && IsGone(viewer, update) ? Visibility::kExpired : verdict;
}

}  // namespace klatch
