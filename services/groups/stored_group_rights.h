#pragma once
// The group rights of a running node: memberships as the node has applied them say which groups to
// look at, policies and roles are read as they are stored.
//
// Thread safety: any thread; tasks continue where the reader's do. Lifetime: refers to what it is
// made of. Bounds: limits::kGroupsLookedAtMax groups in a call, two reads each.

#include <vector>

#include "services/accept/group_rights.h"
#include "services/groups/group_reader.h"
#include "services/groups/person_groups.h"

namespace klatch {

class StoredGroupRights final : public GroupRights {
 public:
  StoredGroupRights(const PersonGroups& person_groups, GroupReader& reader)
      : person_groups_(person_groups), reader_(reader) {}

  base::Task<absl::StatusOr<std::vector<GroupId>>> AllWherePosts(PersonId person) override;
  base::Task<absl::StatusOr<std::vector<GroupId>>> WherePosts(PersonId person,
                                                              std::vector<GroupId> groups) override;
  base::Task<absl::StatusOr<std::vector<GroupId>>> WhereModerates(
      PersonId person, std::vector<GroupId> groups) override;

 private:
  // Whether a role suffices in a group.
  using Suffices = bool (*)(Role role, const GroupFields& group);

  base::Task<absl::StatusOr<std::vector<GroupId>>> Where(PersonId person,
                                                         std::vector<GroupId> groups,
                                                         Suffices suffices);
  base::Task<void> Ask(PersonId person, GroupId group, Suffices suffices,
                       absl::StatusOr<bool>& answer);

  const PersonGroups& person_groups_;
  GroupReader& reader_;
};

}  // namespace klatch
