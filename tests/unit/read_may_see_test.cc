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

TEST(MaySeeTest, ShowsNothingWhoseOwnTimeHasCome) {
  const MembershipList list = ListWith(Role::kOwner, 0, 0);
  ViewerState viewer{.memberships = &list};
  BodyHeader header{AudienceRule::kMembersNow, 0, PersonId("al"), GroupId("g")};
  header.expire_unix_ms = 1'000;
  const UpdateState update{
      .id = UpdateId(100), .group = kGroup, .position_in_group = Position(100), .header = header};
  viewer.now_unix_ms = 999;
  EXPECT_EQ(MaySee(viewer, update), Visibility::kVisible);
  viewer.now_unix_ms = 1'000;
  EXPECT_EQ(MaySee(viewer, update), Visibility::kExpired);
  // Who could not see it anyway is not told that it has expired.
  viewer.memberships = nullptr;
  EXPECT_EQ(MaySee(viewer, update), Visibility::kNotMember);
}

TEST(MaySeeTest, ShowsNothingThatItsGroupKeepsNoLonger) {
  const MembershipList list = ListWith(Role::kOwner, 0, 0);
  const ViewerState viewer{.memberships = &list};
  const BodyHeader header;
  // The place in the group counts, not the id.
  UpdateState update{.id = UpdateId(1),
                     .group = kGroup,
                     .position_in_group = Position(100),
                     .kept_since = Position(100),
                     .header = header};
  EXPECT_EQ(MaySee(viewer, update), Visibility::kVisible);
  update.kept_since = Position(101);
  EXPECT_EQ(MaySee(viewer, update), Visibility::kExpired);
}

// Which verdict each kind of personal state gives on each surface.
TEST(MaySeeTest, HeedsPersonalStateByWhereTheUpdateIsToBeShown) {
  const MembershipList list = ListWith(Role::kMember, 0, 0);
  BodyHeader header;
  header.author = PersonId("bo");
  header.audience = AudienceRule::kMembersNow;
  PersonalState blocks, blocked_by, muted_person, muted_group, hidden, other;
  blocks.blocks.Add("bo");
  blocked_by.blocked_by.Add("bo");
  muted_person.muted_persons.Add("bo");
  muted_group.muted_groups.Add("g");
  hidden.Hide(UpdateId(100));
  other.blocks.Add("cy");
  other.blocked_by.Add("al");
  other.muted_persons.Add("g");
  other.muted_groups.Add("bo");
  other.Hide(UpdateId(99));
  const auto kVisible = Visibility::kVisible;
  const struct {
    const char* name;
    const PersonalState* state;
    Visibility home, other_timeline, single;
  } rows[] = {
      {"nothing", nullptr, kVisible, kVisible, kVisible},
      {"blocks", &blocks, Visibility::kBlocked, Visibility::kBlocked, Visibility::kBlocked},
      {"blocked by", &blocked_by, Visibility::kBlocked, Visibility::kBlocked, Visibility::kBlocked},
      {"muted person", &muted_person, Visibility::kMuted, kVisible, kVisible},
      {"muted group", &muted_group, Visibility::kMuted, kVisible, kVisible},
      {"hidden", &hidden, Visibility::kHidden, Visibility::kHidden, kVisible},
      {"others", &other, kVisible, kVisible, kVisible},
  };
  for (const auto& row : rows) {
    const auto judge = [&](Surface surface, const char* viewer, bool member) {
      return MaySee(ViewerState{.person = viewer,
                                .surface = surface,
                                .memberships = member ? &list : nullptr,
                                .personal = row.state},
                    UpdateState{.id = UpdateId(100),
                                .group = kGroup,
                                .group_id = "g",
                                .position_in_group = Position(100),
                                .header = header});
    };
    EXPECT_EQ(judge(Surface::kHome, "al", true), row.home) << row.name;
    EXPECT_EQ(judge(Surface::kOtherTimeline, "al", true), row.other_timeline) << row.name;
    EXPECT_EQ(judge(Surface::kSingle, "al", true), row.single) << row.name;
    for (const Surface surface : {Surface::kHome, Surface::kOtherTimeline, Surface::kSingle}) {
      EXPECT_EQ(judge(surface, "bo", true), kVisible) << row.name << ": the author's own";
      // Personal state never shows what the stay does not.
      EXPECT_EQ(judge(surface, "al", false), Visibility::kNotMember) << row.name;
      EXPECT_EQ(judge(surface, "bo", false), Visibility::kNotMember) << row.name;
    }
  }
}

}  // namespace
}  // namespace klatch
