#include "services/groups/group_calls.h"

#include "services/accept/update_message.h"
#include "services/accept/validate.h"
#include "services/groups/group_message.h"

namespace klatch {
namespace {

constexpr char kCreateGroupMethod[] = "create_group";

// A group that was just created has its creator in it.
v1::Group CreatedMessage(const GroupFields& fields, Position position) {
  return GroupMessage(fields, 1, position);
}

// The payload of a creation, with defaults filled in: naming a default is the same as leaving it
// out.
std::string CreationDigest(const GroupFields& fields) {
  return RequestDigest(kCreateGroupMethod, GroupMessage(fields, 0, Position()));
}

}  // namespace

template <typename Request>
absl::Status GroupCalls::CheckCaller(const Request& request) const {
  KLATCH_RETURN_IF_ERROR(CheckNamespace(request.namespace_(), dependencies_.layout));
  return CheckId(request.actor(), "actor");
}

base::Task<absl::StatusOr<v1::Group>> GroupCalls::ReadActive(GroupId group, std::string field) {
  auto reading = dependencies_.reader.ReadGroup(std::move(group));
  const absl::StatusOr<StoredGroup> stored = co_await std::move(reading);
  co_await dependencies_.executor.Schedule();
  const bool gone =
      stored.ok() ? stored->state != GroupState::kActive : absl::IsNotFound(stored.status());
  if (gone) {
    co_return base::FieldError(absl::StatusCode::kNotFound, field, "is no group");
  }
  if (!stored.ok()) {
    co_return stored.status();
  }
  co_return GroupMessage(*stored);
}

base::Task<absl::StatusOr<v1::Group>> GroupCalls::ReadAsMember(GroupId group, PersonId actor) {
  auto reading = ReadActive(group, "group");
  absl::StatusOr<v1::Group> found = co_await std::move(reading);
  if (!found.ok()) {
    co_return found.status();
  }
  auto reading_stay = dependencies_.reader.ReadStay(std::move(group), std::move(actor));
  const absl::StatusOr<Stay> stay = co_await std::move(reading_stay);
  co_await dependencies_.executor.Schedule();
  if (!stay.ok()) {
    co_return stay.status();
  }
  if (stay->role == Role::kNone) {
    co_return base::FieldError(absl::StatusCode::kPermissionDenied, "actor",
                               "is not a member of the group");
  }
  co_return found;
}

base::Task<absl::StatusOr<v1::CreateGroupResponse>> GroupCalls::CreateGroup(
    v1::CreateGroupRequest request, base::MonotonicTime /*deadline*/) {
  absl::Status status = CheckCaller(request);
  if (status.ok()) {
    status = CheckRequestId(request.request_id());
  }
  if (status.ok()) {
    status = CheckId(request.group().id(), "group.id");
  }
  if (status.ok()) {
    status = CheckGroupFields(request.group(), "group");
  }
  if (status.ok()) {
    status = CheckRetention(request.group().retention(), dependencies_.keep_min, "group.retention");
  }
  if (status.ok()) {
    const std::string_view owner = request.actor();
    status = dependencies_.admission.AdmitMembers({&owner, 1}, "actor");
  }
  if (status.ok()) {
    status = dependencies_.admission.AdmitGroup();
  }
  if (!status.ok()) {
    co_return status;
  }
  const GroupFields fields = NewGroupFields(request.group());
  CreateGroupCommand command;
  command.actor = PersonId(request.actor());
  command.group = fields;
  command.request_id = request.request_id();
  command.payload_digest = CreationDigest(fields);
  auto appending = dependencies_.appender.CreateGroup(std::move(command));
  const absl::StatusOr<Appended> appended = co_await std::move(appending);
  co_await dependencies_.executor.Schedule();
  if (!appended.ok()) {
    co_return appended.status();
  }
  v1::CreateGroupResponse response;
  *response.mutable_group() = CreatedMessage(fields, appended->position);
  *response.add_tokens() = TokenMessage(appended->position);
  if (appended->replayed) {
    // Members may have come since. If the group is gone again, the caller still learns that the
    // creation had worked.
    auto reading = ReadActive(fields.id, "group.id");
    absl::StatusOr<v1::Group> now = co_await std::move(reading);
    if (now.ok()) {
      *response.mutable_group() = *std::move(now);
    }
  }
  co_return response;
}

base::Task<absl::StatusOr<v1::GetGroupResponse>> GroupCalls::GetGroup(
    v1::GetGroupRequest request, base::MonotonicTime deadline) {
  absl::Status status = CheckCaller(request);
  if (status.ok()) {
    status = CheckId(request.group(), "group");
  }
  if (!status.ok()) {
    co_return status;
  }
  absl::StatusOr<std::vector<Token>> tokens = CheckTokens(request.tokens(), dependencies_.layout);
  if (!tokens.ok()) {
    co_return tokens.status();
  }
  if (!tokens->empty()) {
    auto waiting = dependencies_.barrier.WaitApplied(*std::move(tokens), deadline);
    status = co_await std::move(waiting);
    if (!status.ok()) {
      co_return status;
    }
  }
  auto reading = ReadAsMember(GroupId(request.group()), PersonId(request.actor()));
  absl::StatusOr<v1::Group> group = co_await std::move(reading);
  if (!group.ok()) {
    co_return group.status();
  }
  v1::GetGroupResponse response;
  *response.mutable_group() = *std::move(group);
  co_return response;
}

base::Task<absl::StatusOr<v1::UpdateGroupResponse>> GroupCalls::UpdateGroup(
    v1::UpdateGroupRequest request, base::MonotonicTime /*deadline*/) {
  absl::Status status = CheckCaller(request);
  if (status.ok()) {
    status = CheckId(request.group().id(), "group.id");
  }
  if (!status.ok()) {
    co_return status;
  }
  absl::StatusOr<UpdateGroupCommand> command = ReadGroupUpdate(request, dependencies_.keep_min);
  if (!command.ok()) {
    co_return command.status();
  }
  auto appending = dependencies_.appender.UpdateGroup(*std::move(command));
  const absl::StatusOr<GroupUpdated> updated = co_await std::move(appending);
  co_await dependencies_.executor.Schedule();
  if (!updated.ok()) {
    co_return updated.status();
  }
  v1::UpdateGroupResponse response;
  *response.mutable_group() = GroupMessage(updated->group);
  *response.add_tokens() = TokenMessage(updated->position);
  co_return response;
}

base::Task<absl::StatusOr<v1::DeleteGroupResponse>> GroupCalls::DeleteGroup(
    v1::DeleteGroupRequest request, base::MonotonicTime deadline) {
  absl::Status status = CheckCaller(request);
  if (status.ok()) {
    status = CheckId(request.group(), "group");
  }
  if (!status.ok()) {
    co_return status;
  }
  auto appending =
      dependencies_.appender.DeleteGroup(PersonId(request.actor()), GroupId(request.group()));
  const absl::StatusOr<Appended> appended = co_await std::move(appending);
  co_await dependencies_.executor.Schedule();
  if (!appended.ok()) {
    co_return appended.status();
  }
  auto waiting = WaitInForce(dependencies_.barrier, appended->position, deadline);
  status = co_await std::move(waiting);
  if (!status.ok()) {
    co_return status;
  }
  v1::DeleteGroupResponse response;
  *response.add_tokens() = TokenMessage(appended->position);
  co_return response;
}

}  // namespace klatch
