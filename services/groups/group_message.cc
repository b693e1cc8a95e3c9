#include "services/groups/group_message.h"

#include <fmt/format.h>
#include <google/protobuf/util/field_mask_util.h>

#include <algorithm>
#include <string>

#include "common/base/invalid_field.h"
#include "services/accept/validate.h"
#include "services/model/ids.h"

namespace klatch {
namespace {

using google::protobuf::FieldMask;
using google::protobuf::util::FieldMaskUtil;

// In whole milliseconds, rounded up: no bound may become of a short one.
std::chrono::milliseconds AgeOf(const v1::Retention& retention) {
  const std::chrono::nanoseconds age = std::chrono::seconds(retention.age().seconds()) +
                                       std::chrono::nanoseconds(retention.age().nanos());
  return std::chrono::ceil<std::chrono::milliseconds>(age);
}

void SetRetention(const GroupRetention& retention, v1::Group& group) {
  constexpr int64_t kMsPerSecond = 1'000;
  constexpr int64_t kNsPerMs = 1'000'000;
  v1::Retention& message = *group.mutable_retention();
  if (const int64_t age_ms = retention.age.count(); age_ms != 0) {
    message.mutable_age()->set_seconds(age_ms / kMsPerSecond);
    message.mutable_age()->set_nanos(static_cast<int32_t>(age_ms % kMsPerSecond * kNsPerMs));
  }
  message.set_count(retention.count);
  message.set_bytes(retention.bytes);
}

// A field that UpdateGroup may change.
struct Changeable {
  const char* path;
  // Whether its value 0 is no value, but says that none was chosen.
  bool is_choice;
  void (*change)(const v1::Group& group, UpdateGroupCommand& command);
};

constexpr Changeable kChangeable[] = {
    {"display_name", false,
     [](const v1::Group& group, UpdateGroupCommand& command) {
       command.display_name = group.display_name();
     }},
    {"description", false,
     [](const v1::Group& group, UpdateGroupCommand& command) {
       command.description = group.description();
     }},
    {"history", true,
     [](const v1::Group& group, UpdateGroupCommand& command) {
       command.past = {static_cast<History>(group.history()), group.history_count()};
     }},
    // Goes with history, which takes it along.
    {"history_count", false, [](const v1::Group&, UpdateGroupCommand&) {}},
    {"default_audience", true,
     [](const v1::Group& group, UpdateGroupCommand& command) {
       command.default_audience = static_cast<AudienceRule>(group.default_audience());
     }},
    {"post_role", true,
     [](const v1::Group& group, UpdateGroupCommand& command) {
       command.post_role = static_cast<Role>(group.post_role());
     }},
    {"add_role", true,
     [](const v1::Group& group, UpdateGroupCommand& command) {
       command.add_role = static_cast<Role>(group.add_role());
     }},
    {"joining", true,
     [](const v1::Group& group, UpdateGroupCommand& command) {
       command.joining = static_cast<Joining>(group.joining());
     }},
    {"closed", false,
     [](const v1::Group& group, UpdateGroupCommand& command) { command.closed = group.closed(); }},
    // Its parts below do the work.
    {"retention", false, [](const v1::Group&, UpdateGroupCommand&) {}},
    {"retention.age", false,
     [](const v1::Group& group, UpdateGroupCommand& command) {
       command.keep_age = AgeOf(group.retention());
     }},
    {"retention.count", false,
     [](const v1::Group& group, UpdateGroupCommand& command) {
       command.keep_count = group.retention().count();
     }},
    {"retention.bytes", false,
     [](const v1::Group& group, UpdateGroupCommand& command) {
       command.keep_bytes = group.retention().bytes();
     }},
};

// Whether the message holds a value that isn't its type's default.
bool IsSet(const v1::Group& group, const char* path) {
  const auto* field = v1::Group::descriptor()->FindFieldByName(path);
  // A part of a field is not: who sets the field replaces all of it.
  return field != nullptr && group.GetReflection()->HasField(group, field);
}

absl::Status CheckPaths(const FieldMask& mask) {
  for (const std::string& path : mask.paths()) {
    if (std::ranges::none_of(kChangeable, [&](const auto& field) { return path == field.path; })) {
      return base::InvalidField(
          "update_mask",
          "names more than display_name, description, history, history_count, "
          "default_audience, post_role, add_role, joining, closed and retention with "
          "its parts");
    }
  }
  return absl::OkStatus();
}

// The fields that are set.
FieldMask MaskOf(const v1::Group& group) {
  FieldMask mask;
  for (const Changeable& field : kChangeable) {
    if (IsSet(group, field.path)) {
      mask.add_paths(field.path);
    }
  }
  return mask;
}

// Changes what `mask` names. `group` holds nothing else.
absl::Status Change(const v1::Group& group, const FieldMask& mask, UpdateGroupCommand& command) {
  for (const Changeable& field : kChangeable) {
    if (!FieldMaskUtil::IsPathInFieldMask(field.path, mask)) {
      continue;
    }
    if (field.is_choice && !IsSet(group, field.path)) {
      return base::InvalidField(fmt::format("group.{}", field.path), "is unspecified");
    }
    field.change(group, command);
  }
  return absl::OkStatus();
}

// The history and its count change together: one that counts brings its count along, named or not,
// and of another a count that is left over in the message does no harm.
absl::Status CompleteHistory(const v1::Group& group, FieldMask& mask) {
  const bool names_history = FieldMaskUtil::IsPathInFieldMask("history", mask);
  if (!names_history && FieldMaskUtil::IsPathInFieldMask("history_count", mask)) {
    return base::InvalidField("group.history_count", "changes only together with history");
  }
  if (names_history && group.history() == v1::HISTORY_LAST) {
    mask.add_paths("history_count");
  }
  return absl::OkStatus();
}

}  // namespace

v1::Group GroupMessage(const GroupFields& fields, uint64_t member_count, Position created) {
  constexpr int64_t kMsPerSecond = 1'000;
  constexpr int64_t kNsPerMs = 1'000'000;
  v1::Group group;
  group.set_id(fields.id.value());
  group.set_display_name(fields.display_name);
  group.set_description(fields.description);
  group.set_history(static_cast<v1::History>(fields.history));
  group.set_default_audience(static_cast<v1::Audience>(fields.default_audience));
  group.set_post_role(static_cast<v1::Role>(fields.post_role));
  group.set_add_role(static_cast<v1::Role>(fields.add_role));
  group.set_joining(static_cast<v1::Joining>(fields.joining));
  group.set_history_count(fields.history_count);
  group.set_closed(fields.closed);
  if (fields.retention.is_bounded()) {
    SetRetention(fields.retention, group);
  }
  group.set_member_count(member_count);
  group.mutable_create_time()->set_seconds(created.unix_ms() / kMsPerSecond);
  group.mutable_create_time()->set_nanos(
      static_cast<int32_t>(created.unix_ms() % kMsPerSecond * kNsPerMs));
  return group;
}

v1::Member MemberMessage(std::string_view person, const Stay& stay) {
  v1::Member member;
  member.set_person(std::string(person));
  member.set_role(static_cast<v1::Role>(stay.role));
  member.set_joined(stay.joined.value());
  member.set_visible_from(stay.visible_from.value());
  return member;
}

v1::Token TokenMessage(Position position) {
  v1::Token token;
  token.set_shard(position.shard().value());
  token.set_position(position.value());
  return token;
}

GroupFields NewGroupFields(const v1::Group& group) {
  GroupFields fields;
  fields.id = GroupId(group.id());
  fields.display_name = group.display_name();
  fields.description = group.description();
  if (group.history() != v1::HISTORY_UNSPECIFIED) {
    fields.history = static_cast<History>(group.history());
  }
  if (group.default_audience() != v1::AUDIENCE_UNSPECIFIED) {
    fields.default_audience = static_cast<AudienceRule>(group.default_audience());
  }
  if (group.post_role() != v1::ROLE_UNSPECIFIED) {
    fields.post_role = static_cast<Role>(group.post_role());
  }
  if (group.add_role() != v1::ROLE_UNSPECIFIED) {
    fields.add_role = static_cast<Role>(group.add_role());
  }
  if (group.joining() != v1::JOINING_UNSPECIFIED) {
    fields.joining = static_cast<Joining>(group.joining());
  }
  fields.history_count = group.history_count();
  fields.closed = group.closed();
  fields.retention = {AgeOf(group.retention()), group.retention().count(),
                      group.retention().bytes()};
  return fields;
}

absl::StatusOr<UpdateGroupCommand> ReadGroupUpdate(const v1::UpdateGroupRequest& request,
                                                   std::chrono::milliseconds keep_min) {
  const bool is_masked = request.update_mask().paths_size() > 0;
  FieldMask mask = is_masked ? request.update_mask() : MaskOf(request.group());
  KLATCH_RETURN_IF_ERROR(CheckPaths(mask));
  if (mask.paths_size() == 0) {
    return base::InvalidField("update_mask",
                              "names nothing and nothing is set: there is nothing to change");
  }
  KLATCH_RETURN_IF_ERROR(CompleteHistory(request.group(), mask));
  // Values that the mask doesn't name are ignored, so they need not be valid.
  v1::Group named = request.group();
  FieldMaskUtil::TrimMessage(mask, &named);
  KLATCH_RETURN_IF_ERROR(CheckGroupFields(named, "group"));
  KLATCH_RETURN_IF_ERROR(CheckRetention(named.retention(), keep_min, "group.retention"));
  UpdateGroupCommand command;
  command.actor = PersonId(request.actor());
  command.group = GroupId(request.group().id());
  KLATCH_RETURN_IF_ERROR(Change(named, mask, command));
  return command;
}

Role RoleOrMember(v1::Role role) {
  return role == v1::ROLE_UNSPECIFIED ? Role::kMember : static_cast<Role>(role);
}

}  // namespace klatch
