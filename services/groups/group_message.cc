#include "services/groups/group_message.h"

#include "services/accept/validate.h"
#include "services/model/ids.h"

namespace klatch {
namespace {

absl::Status Invalid(std::string_view field, std::string_view description) {
  return base::FieldError(absl::StatusCode::kInvalidArgument, field, description);
}

absl::Status SetFromPaths(const google::protobuf::FieldMask& mask, UpdateGroupCommand& command) {
  for (const std::string& path : mask.paths()) {
    if (path == "display_name") {
      command.set_display_name = true;
    } else if (path == "description") {
      command.set_description = true;
    } else if (path == "history") {
      command.set_history = true;
    } else if (path == "default_audience") {
      command.set_default_audience = true;
    } else if (path == "post_role") {
      command.set_post_role = true;
    } else if (path == "add_role") {
      command.set_add_role = true;
    } else if (path == "joining") {
      command.set_joining = true;
    } else {
      return Invalid("update_mask",
                     "names more than display_name, description, history, default_audience, "
                     "post_role, add_role and joining");
    }
  }
  return absl::OkStatus();
}

void SetFromValues(const v1::Group& group, UpdateGroupCommand& command) {
  command.set_display_name = !group.display_name().empty();
  command.set_description = !group.description().empty();
  command.set_history = group.history() != v1::HISTORY_UNSPECIFIED;
  command.set_default_audience = group.default_audience() != v1::AUDIENCE_UNSPECIFIED;
  command.set_post_role = group.post_role() != v1::ROLE_UNSPECIFIED;
  command.set_add_role = group.add_role() != v1::ROLE_UNSPECIFIED;
  command.set_joining = group.joining() != v1::JOINING_UNSPECIFIED;
}

bool ChangesNothing(const UpdateGroupCommand& command) {
  return !command.set_display_name && !command.set_description && !command.set_history &&
         !command.set_default_audience && !command.set_post_role && !command.set_add_role &&
         !command.set_joining;
}

// A mask can name a choice that has no value.
absl::Status CheckChosen(const v1::Group& group, const UpdateGroupCommand& command) {
  const struct {
    bool is_set;
    int value;
    const char* field;
  } choices[] = {{command.set_history, group.history(), "group.history"},
                 {command.set_default_audience, group.default_audience(), "group.default_audience"},
                 {command.set_post_role, group.post_role(), "group.post_role"},
                 {command.set_add_role, group.add_role(), "group.add_role"},
                 {command.set_joining, group.joining(), "group.joining"}};
  for (const auto& choice : choices) {
    if (choice.is_set && choice.value == 0) {
      return Invalid(choice.field, "is unspecified");
    }
  }
  return absl::OkStatus();
}

// Values that the mask doesn't name are ignored, so they need not be valid.
v1::Group OnlyMasked(const v1::Group& group, const UpdateGroupCommand& command) {
  v1::Group masked;
  if (command.set_display_name) {
    masked.set_display_name(group.display_name());
  }
  if (command.set_description) {
    masked.set_description(group.description());
  }
  if (command.set_history) {
    masked.set_history(group.history());
  }
  if (command.set_default_audience) {
    masked.set_default_audience(group.default_audience());
  }
  if (command.set_post_role) {
    masked.set_post_role(group.post_role());
  }
  if (command.set_add_role) {
    masked.set_add_role(group.add_role());
  }
  if (command.set_joining) {
    masked.set_joining(group.joining());
  }
  return masked;
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
  return fields;
}

absl::StatusOr<UpdateGroupCommand> ReadGroupUpdate(const v1::UpdateGroupRequest& request) {
  const v1::Group& group = request.group();
  UpdateGroupCommand command;
  if (request.update_mask().paths_size() > 0) {
    KLATCH_RETURN_IF_ERROR(SetFromPaths(request.update_mask(), command));
  } else {
    SetFromValues(group, command);
  }
  if (ChangesNothing(command)) {
    return Invalid("update_mask", "names nothing and nothing is set: there is nothing to change");
  }
  const v1::Group masked = OnlyMasked(group, command);
  KLATCH_RETURN_IF_ERROR(CheckGroupFields(masked, "group"));
  KLATCH_RETURN_IF_ERROR(CheckChosen(masked, command));
  command.actor = PersonId(request.actor());
  command.group = NewGroupFields(masked);
  command.group.id = GroupId(group.id());
  return command;
}

Role RoleOrMember(v1::Role role) {
  return role == v1::ROLE_UNSPECIFIED ? Role::kMember : static_cast<Role>(role);
}

}  // namespace klatch
