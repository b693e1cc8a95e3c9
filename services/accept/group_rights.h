#pragma once
// What posts to several groups ask about a person and groups before the scripts, each in one group's
// slot, decide for themselves.
//
// Thread safety: any thread. Implemented by services/groups.
// Errors: those of reading; UNAVAILABLE with reason NOT_OWNER if this node may not answer for the
// person now.

#include <vector>

#include "common/base/status.h"
#include "common/base/task.h"
#include "services/model/ids.h"

namespace klatch {

class GroupRights {
 public:
  virtual ~GroupRights() = default;

  // The groups where the person may post: of those that this node knows the person to be in, ordered
  // by id. If there are more than limits::kGroupsPerUpdateMax, or the person is in more than
  // limits::kGroupsLookedAtMax, one more than the former.
  virtual base::Task<absl::StatusOr<std::vector<GroupId>>> AllWherePosts(PersonId person) = 0;

  // Those of `groups` where the person may post, or is a moderator or owner, as it is stored now.
  virtual base::Task<absl::StatusOr<std::vector<GroupId>>> WherePosts(
      PersonId person, std::vector<GroupId> groups) = 0;
  virtual base::Task<absl::StatusOr<std::vector<GroupId>>> WhereModerates(
      PersonId person, std::vector<GroupId> groups) = 0;
};

}  // namespace klatch
