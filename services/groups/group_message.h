#pragma once
// Between groups and members as clients write and read them and the types of the log.
//
// Thread safety: functions without state.

#include <chrono>
#include <vector>

#include "common/base/status.h"
#include "klatch/v1/group_service.pb.h"
#include "klatch/v1/resources.pb.h"
#include "services/log/appender.h"
#include "services/log/group_store.h"
#include "services/model/membership.h"
#include "services/model/position.h"

namespace klatch {

v1::Group GroupMessage(const GroupFields& fields, uint64_t member_count, Position created);
inline v1::Group GroupMessage(const StoredGroup& stored) {
  v1::Group group = GroupMessage(stored.fields, stored.member_count, stored.created);
  group.set_pulled(stored.is_pulled);
  return group;
}

// `person` may be left empty.
v1::Member MemberMessage(std::string_view person, const Stay& stay);

v1::Token TokenMessage(Position position);

// The fields of a new group, defaults filled in. REQUIRES: CheckGroupFields and CheckRetention passed.
GroupFields NewGroupFields(const v1::Group& group);

// What an UpdateGroup changes: the mask, or what is set if there is none. INVALID_ARGUMENT
// ("update_mask" for an unknown path or if nothing is to change, "group.…" for a bad new value).
// `keep_min`: the least age of a retention.
absl::StatusOr<UpdateGroupCommand> ReadGroupUpdate(const v1::UpdateGroupRequest& request,
                                                   std::chrono::milliseconds keep_min);

// In AddMembers no role means an ordinary member.
Role RoleOrMember(v1::Role role);

}  // namespace klatch
