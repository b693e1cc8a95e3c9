#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "services/accept/in_time.h"
#include "services/accept/update_message.h"
#include "services/accept/validate.h"
#include "services/groups/group_calls.h"
#include "services/groups/group_message.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

constexpr char kAddMembersMethod[] = "add_members";
constexpr char kRemoveMembersMethod[] = "remove_members";

// What both bulk requests have in common, and their checks in the order of the fields.
template <typename Request>
absl::Status CheckBulk(const Request& request, const Layout& layout) {
  KLATCH_RETURN_IF_ERROR(CheckNamespace(request.namespace_(), layout));
  KLATCH_RETURN_IF_ERROR(CheckId(request.actor(), "actor"));
  KLATCH_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  return CheckId(request.group(), "group");
}

// Each chunk carries the digest of the whole call: a key that is used again with other persons in a
// later chunk is refused at the first.
template <typename Command, typename Request>
Command EmptyChunk(const Request& request, const std::string& call_digest, size_t chunk) {
  Command command;
  command.actor = PersonId(request.actor());
  command.group = GroupId(request.group());
  command.request_id = request.request_id();
  command.chunk = static_cast<uint32_t>(chunk);
  command.payload_digest = call_digest;
  return command;
}

std::vector<AddMembersCommand> CutIntoChunks(const v1::AddMembersRequest& request) {
  v1::AddMembersRequest payload;
  payload.set_group(request.group());
  for (const v1::Member& member : request.members()) {
    v1::Member* copy = payload.add_members();
    copy->set_person(member.person());
    copy->set_role(static_cast<v1::Role>(RoleOrMember(member.role())));
  }
  const std::string call_digest = RequestDigest(kAddMembersMethod, payload);
  std::vector<AddMembersCommand> chunks;
  for (const v1::Member& member : payload.members()) {
    if (chunks.empty() || chunks.back().members.size() == limits::kMembersPerScript) {
      chunks.push_back(EmptyChunk<AddMembersCommand>(request, call_digest, chunks.size()));
    }
    chunks.back().members.push_back({PersonId(member.person()), static_cast<Role>(member.role())});
  }
  return chunks;
}

std::vector<RemoveMembersCommand> CutIntoChunks(const v1::RemoveMembersRequest& request) {
  v1::RemoveMembersRequest payload;
  payload.set_group(request.group());
  *payload.mutable_persons() = request.persons();
  const std::string call_digest = RequestDigest(kRemoveMembersMethod, payload);
  // The actor goes last: afterwards they may not remove the others any more.
  std::vector<std::string> persons(request.persons().begin(), request.persons().end());
  std::stable_partition(persons.begin(), persons.end(), [&request](const std::string& person) {
    return person != request.actor();
  });
  std::vector<RemoveMembersCommand> chunks;
  for (const std::string& person : persons) {
    if (chunks.empty() || chunks.back().persons.size() == limits::kMembersPerScript) {
      chunks.push_back(EmptyChunk<RemoveMembersCommand>(request, call_digest, chunks.size()));
    }
    chunks.back().persons.emplace_back(person);
  }
  return chunks;
}

std::vector<std::string_view> PersonsOf(const v1::AddMembersRequest& request) {
  std::vector<std::string_view> persons;
  persons.reserve(static_cast<size_t>(request.members_size()));
  for (const v1::Member& member : request.members()) {
    persons.emplace_back(member.person());
  }
  return persons;
}

// A call of one chunk needs no account of chunks.
absl::Status AnnotateChunk(const absl::Status& status, size_t done, size_t all) {
  if (all == 1) {
    return status;
  }
  return base::Annotate(
      status, fmt::format("{} of {} chunks of {} are done", done, all, limits::kMembersPerScript));
}

void AddPositions(const std::vector<Position>& positions,
                  google::protobuf::RepeatedField<uint64_t>& out) {
  for (const Position position : positions) {
    out.Add(position.value());
  }
}

}  // namespace

base::Task<absl::StatusOr<MembersAppended>> GroupCalls::AppendChunk(AddMembersCommand command) {
  return dependencies_.appender.AddMembers(std::move(command));
}

base::Task<absl::StatusOr<MembersAppended>> GroupCalls::AppendChunk(RemoveMembersCommand command) {
  return dependencies_.appender.RemoveMembers(std::move(command));
}

template <typename Command>
base::Task<GroupCalls::Chunks> GroupCalls::AppendChunks(std::vector<Command> commands,
                                                        base::MonotonicTime deadline) {
  const size_t all = commands.size();
  Chunks chunks;
  chunks.all = all;
  for (Command& command : commands) {
    const size_t done = chunks.positions.size();
    chunks.status = AnnotateChunk(CheckInTime(dependencies_.clock, deadline), done, all);
    if (!chunks.status.ok()) {
      co_return chunks;
    }
    auto appending = AppendChunk(std::move(command));
    const absl::StatusOr<MembersAppended> appended = co_await std::move(appending);
    co_await dependencies_.executor.Schedule();
    if (!appended.ok()) {
      chunks.status = AnnotateChunk(appended.status(), done, all);
      co_return chunks;
    }
    chunks.positions.push_back(appended->changed > 0 ? appended->position : Position());
    chunks.last = std::max(chunks.last, appended->position);
    chunks.changed += appended->changed;
    chunks.unchanged += appended->unchanged;
  }
  co_return chunks;
}

base::Task<absl::StatusOr<v1::AddMembersResponse>> GroupCalls::AddMembers(
    v1::AddMembersRequest request, base::MonotonicTime deadline) {
  absl::Status status = CheckBulk(request, dependencies_.layout);
  if (status.ok()) {
    status = CheckMembers(request.members());
  }
  if (status.ok()) {
    status = dependencies_.admission.AdmitMembers(PersonsOf(request), "members");
  }
  if (status.ok()) {
    status = dependencies_.admission.Admit();
  }
  if (!status.ok()) {
    co_return status;
  }
  auto appending = AppendChunks(CutIntoChunks(request), deadline);
  const Chunks chunks = co_await std::move(appending);
  if (!chunks.status.ok()) {
    co_return chunks.status;
  }
  v1::AddMembersResponse response;
  response.set_added_count(chunks.changed);
  response.set_unchanged_count(chunks.unchanged);
  *response.add_tokens() = TokenMessage(chunks.last);
  AddPositions(chunks.positions, *response.mutable_chunk_positions());
  co_return response;
}

base::Task<absl::StatusOr<v1::RemoveMembersResponse>> GroupCalls::RemoveMembers(
    v1::RemoveMembersRequest request, base::MonotonicTime deadline) {
  absl::Status status = CheckBulk(request, dependencies_.layout);
  if (status.ok()) {
    status = CheckPersons(request.persons());
  }
  if (!status.ok()) {
    co_return status;
  }
  auto appending = AppendChunks(CutIntoChunks(request), deadline);
  const Chunks chunks = co_await std::move(appending);
  // Also of a call that broke off: who reads how many chunks are done may rely on them.
  if (!chunks.positions.empty()) {
    auto waiting = WaitInForce(dependencies_.barrier, chunks.last, deadline);
    status = co_await std::move(waiting);
    if (!status.ok()) {
      co_return AnnotateChunk(status, chunks.positions.size(), chunks.all);
    }
  }
  if (!chunks.status.ok()) {
    co_return chunks.status;
  }
  v1::RemoveMembersResponse response;
  response.set_removed_count(chunks.changed);
  response.set_unchanged_count(chunks.unchanged);
  *response.add_tokens() = TokenMessage(chunks.last);
  AddPositions(chunks.positions, *response.mutable_chunk_positions());
  co_return response;
}

// A barrier, because a lower role takes something away.
base::Task<absl::StatusOr<v1::UpdateMemberResponse>> GroupCalls::UpdateMember(
    v1::UpdateMemberRequest request, base::MonotonicTime deadline) {
  absl::Status status = CheckNamespace(request.namespace_(), dependencies_.layout);
  if (status.ok()) {
    status = CheckId(request.actor(), "actor");
  }
  if (status.ok()) {
    status = CheckId(request.group(), "group");
  }
  if (status.ok()) {
    status = CheckId(request.member().person(), "member.person");
  }
  const v1::Role role = request.member().role();
  if (status.ok() && (!v1::Role_IsValid(role) || role == v1::ROLE_UNSPECIFIED)) {
    status =
        base::FieldError(absl::StatusCode::kInvalidArgument, "member.role", "is no known role");
  }
  if (!status.ok()) {
    co_return status;
  }
  const PersonId person(request.member().person());
  const GroupId group(request.group());
  PersonRole change{person, static_cast<Role>(role)};
  auto appending =
      dependencies_.appender.UpdateMember(PersonId(request.actor()), group, std::move(change));
  const absl::StatusOr<MemberUpdated> updated = co_await std::move(appending);
  co_await dependencies_.executor.Schedule();
  if (!updated.ok()) {
    co_return updated.status();
  }
  auto waiting = WaitInForce(dependencies_.barrier, updated->position, deadline);
  status = co_await std::move(waiting);
  if (!status.ok()) {
    co_return status;
  }
  v1::UpdateMemberResponse response;
  *response.mutable_member() = MemberMessage(person.value(), updated->stay);
  *response.add_tokens() = TokenMessage(updated->position);
  co_return response;
}

}  // namespace klatch
