// MaySee against the rule written down a second time, over every combination of audience, stay and
// position.

#include <gtest/gtest.h>

#include <tuple>
#include <vector>

#include "services/read/may_see.h"

namespace klatch {
namespace {

constexpr GroupIndex kGroup(7);
constexpr GroupIndex kOtherGroup(8);

MembershipList ListWith(Role role, uint64_t joined, uint64_t visible_from) {
  Membership membership;
  membership.group = kGroup;
  membership.stay = Stay{role, Position(joined), Position(visible_from)};
  return MembershipList({membership});
}

Visibility Judge(const ViewerState& viewer, GroupIndex group, uint64_t id,
                 const BodyHeader& header = BodyHeader()) {
  return MaySee(
      viewer,
      UpdateState{
          .id = UpdateId(id), .group = group, .position_in_group = Position(id), .header = header});
}

Visibility Expected(AudienceRule audience, Role role, uint64_t joined, uint64_t visible_from,
                    uint64_t position) {
  if (role == Role::kNone) {
    return Visibility::kNotMember;
  }
  if (audience == AudienceRule::kMembersNow) {
    return position < visible_from ? Visibility::kBeforeVisible : Visibility::kVisible;
  }
  return position < joined ? Visibility::kBeforeJoin : Visibility::kVisible;
}

TEST(MaySeeTest, FollowsTheRuleForEveryAudienceStayAndPosition) {
  int visible = 0;
  for (AudienceRule audience :
       {AudienceRule::kGroupDefault, AudienceRule::kMembersAtPosting, AudienceRule::kMembersNow}) {
    for (Role role : {Role::kNone, Role::kReader, Role::kMember, Role::kModerator, Role::kOwner}) {
      for (uint64_t joined : {0, 1, 99, 100, 101}) {
        for (uint64_t visible_from : {0, 1, 99, 100, 101}) {
          for (uint64_t position : {1, 98, 99, 100, 101, 102}) {
            const MembershipList list = ListWith(role, joined, visible_from);
            BodyHeader header;
            header.audience = audience;
            const Visibility seen =
                Judge(ViewerState{.memberships = &list}, kGroup, position, header);
            EXPECT_EQ(seen, Expected(audience, role, joined, visible_from, position))
                << static_cast<int>(audience) << " role " << static_cast<int>(role) << " joined "
                << joined << " visible_from " << visible_from << " position " << position;
            visible += seen == Visibility::kVisible ? 1 : 0;
          }
        }
      }
    }
  }
  EXPECT_GT(visible, 0);
}

TEST(MaySeeTest, ShowsNothingToWhoIsNowhereAMember) {
  EXPECT_EQ(Judge(ViewerState(), kGroup, 100), Visibility::kNotMember);
}

TEST(MaySeeTest, ShowsNothingOfAnotherGroup) {
  const MembershipList list = ListWith(Role::kOwner, 0, 0);
  EXPECT_EQ(Judge(ViewerState{.memberships = &list}, kOtherGroup, 100), Visibility::kNotMember);
}

TEST(MaySeeTest, ShowsNothingThatHasExpiredByItsIdsTime) {
  const MembershipList list = ListWith(Role::kOwner, 0, 0);
  ViewerState viewer{.memberships = &list};
  const UpdateId id(5'000, ShardIndex(3), 9);
  viewer.expired_unix_ms = id.unix_ms() - 1;
  EXPECT_EQ(Judge(viewer, kGroup, id.value()), Visibility::kVisible);
  viewer.expired_unix_ms = id.unix_ms();
  EXPECT_EQ(Judge(viewer, kGroup, id.value()), Visibility::kExpired);
  viewer.expired_unix_ms = id.unix_ms() + 1;
  EXPECT_EQ(Judge(viewer, kGroup, id.value()), Visibility::kExpired);
}

}  // namespace
}  // namespace klatch
