// Where a person may post or moderates, as memberships, roles and policies say.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "accept_fakes.h"
#include "services/groups/stored_group_rights.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

using testing::Await;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// One person's groups: as the node has applied them, and as they are stored.
class GroupsOfAnn final : public PersonGroups, public GroupReader {
 public:
  absl::StatusOr<std::vector<GroupStay>> List(const PersonId&, std::string_view,
                                              size_t count) const override {
    std::vector<GroupStay> shown = applied;
    shown.resize(std::min(shown.size(), count));
    return shown;
  }
  base::Task<absl::StatusOr<StoredGroup>> ReadGroup(GroupId group) override {
    const auto found = groups.find(group);
    if (found == groups.end()) {
      co_return base::FieldError(absl::StatusCode::kNotFound, "group", "is no group");
    }
    co_return found->second;
  }
  base::Task<absl::StatusOr<Stay>> ReadStay(GroupId group, PersonId) override {
    if (!unreadable.ok()) {
      co_return unreadable;
    }
    const auto found = stays.find(group);
    co_return found == stays.end() ? Stay{} : found->second;
  }
  base::Task<absl::StatusOr<MemberScan>> ScanMembers(GroupId, uint64_t, size_t) override {
    co_return MemberScan();
  }

  void Add(const std::string& id, Role role, Role post_role = Role::kMember) {
    const GroupId group(id);
    applied.push_back({group, Stay{role, Position(1), Position(1)}});
    stays[group] = applied.back().stay;
    groups[group].fields.id = group;
    groups[group].fields.post_role = post_role;
  }

  std::vector<GroupStay> applied;
  std::map<GroupId, Stay> stays;
  std::map<GroupId, StoredGroup> groups;
  absl::Status unreadable;
};

class StoredGroupRightsTest : public ::testing::Test {
 protected:
  std::vector<GroupId> All() {
    auto groups = Await(rights_.AllWherePosts(PersonId("ann")));
    EXPECT_TRUE(groups.ok()) << groups.status();
    return groups.value_or(std::vector<GroupId>());
  }

  GroupsOfAnn groups_;
  StoredGroupRights rights_{groups_, groups_};
};

TEST_F(StoredGroupRightsTest, PostsWhereRolePolicyAndStateAllow) {
  EXPECT_THAT(All(), IsEmpty());
  groups_.Add("a", Role::kMember);
  groups_.Add("b", Role::kReader);
  groups_.Add("c", Role::kMember, Role::kModerator);
  groups_.Add("d", Role::kModerator, Role::kModerator);
  groups_.Add("e", Role::kOwner);
  groups_.groups[GroupId("e")].state = GroupState::kDeleted;
  groups_.Add("f", Role::kMember);
  groups_.stays.erase(GroupId("f"));  // left, which is not applied yet
  groups_.Add("g", Role::kMember);
  groups_.groups.erase(GroupId("g"));
  groups_.Add("h", Role::kOwner);
  groups_.groups[GroupId("h")].fields.closed = true;
  EXPECT_THAT(All(), ElementsAre(GroupId("a"), GroupId("d")));
  EXPECT_THAT(*Await(rights_.WherePosts(PersonId("ann"), {GroupId("c"), GroupId("d")})),
              ElementsAre(GroupId("d")));
  EXPECT_THAT(*Await(rights_.WhereModerates(PersonId("ann"), {GroupId("a"), GroupId("d")})),
              ElementsAre(GroupId("d")));
}

TEST_F(StoredGroupRightsTest, SaysThatThereAreTooMany) {
  for (size_t i = 0; i < limits::kGroupsPerUpdateMax; ++i) {
    groups_.Add("post " + std::to_string(i), Role::kMember);
  }
  EXPECT_EQ(All().size(), limits::kGroupsPerUpdateMax);
  for (int i = 0; i < 5; ++i) {
    groups_.Add("more " + std::to_string(i), Role::kMember);
  }
  EXPECT_EQ(All().size(), limits::kGroupsPerUpdateMax + 1);
}

TEST_F(StoredGroupRightsTest, LooksAtNoMoreThanItMay) {
  for (size_t i = 0; i < limits::kGroupsLookedAtMax; ++i) {
    groups_.Add("read " + std::to_string(i), Role::kReader);
  }
  EXPECT_THAT(All(), IsEmpty());
  groups_.Add("one more", Role::kReader);
  EXPECT_EQ(All().size(), limits::kGroupsPerUpdateMax + 1) << "it can't tell";
}

TEST_F(StoredGroupRightsTest, WhatCannotBeReadIsAnError) {
  groups_.Add("a", Role::kMember);
  groups_.unreadable = base::Error(absl::StatusCode::kUnavailable, "no connection");
  EXPECT_TRUE(absl::IsUnavailable(Await(rights_.AllWherePosts(PersonId("ann"))).status()));
}

}  // namespace
}  // namespace klatch
