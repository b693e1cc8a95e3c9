#include <utility>

#include "services/accept/feed_writes.h"
#include "services/accept/in_time.h"
#include "services/accept/update_message.h"
#include "services/accept/validate.h"

namespace klatch {
namespace {

absl::Status NoSuchUpdate() {
  return base::FieldError(absl::StatusCode::kNotFound, "update_id",
                          "is no update that the actor can see");
}

absl::Status NotAllowed(std::string_view description) {
  return base::FieldError(absl::StatusCode::kPermissionDenied, "actor", description);
}

void AddToken(Position position, google::protobuf::RepeatedPtrField<v1::Token>& tokens) {
  v1::Token* token = tokens.Add();
  token->set_shard(position.shard().value());
  token->set_position(position.value());
}

// What edits and deletions have in common. NOT_FOUND for an id of no shard.
template <typename Request>
absl::Status CheckTarget(const Request& request, const Layout& layout) {
  KLATCH_RETURN_IF_ERROR(CheckNamespace(request.namespace_(), layout));
  KLATCH_RETURN_IF_ERROR(CheckId(request.actor(), "actor"));
  KLATCH_RETURN_IF_ERROR(CheckUpdateId(request.update_id(), "update_id"));
  const UpdateId update(request.update_id());
  return update.shard().value() < layout.shard_count ? absl::OkStatus() : NoSuchUpdate();
}

}  // namespace

base::Task<absl::StatusOr<v1::EditUpdateResponse>> FeedWrites::Edit(v1::EditUpdateRequest request,
                                                                    base::MonotonicTime deadline) {
  absl::Status status = CheckTarget(request, dependencies_.layout);
  if (!status.ok()) {
    co_return status;
  }
  const absl::StatusOr<EditMask> mask = ReadEditMask(request);
  if (!mask.ok()) {
    co_return mask.status();
  }
  absl::StatusOr<Edited> edited;
  for (int attempt = 0; attempt < kEditAttemptsMax; ++attempt) {
    auto trying = EditOnce(request, *mask, deadline);
    edited = co_await std::move(trying);
    if (!absl::IsAborted(edited.status())) {
      break;
    }
  }
  if (!edited.ok()) {
    co_return edited.status();
  }
  auto waiting = WaitInForce(dependencies_.barrier, edited->position, deadline);
  status = co_await std::move(waiting);
  if (!status.ok()) {
    co_return status;
  }
  absl::StatusOr<v1::Update> update = UpdateMessage(UpdateId(request.update_id()), *edited->body);
  if (!update.ok()) {
    co_return update.status();
  }
  v1::EditUpdateResponse response;
  *response.mutable_update() = *std::move(update);
  for (const GroupId& group : edited->groups) {
    response.mutable_update()->add_groups(group.value());
  }
  AddToken(edited->position, *response.mutable_tokens());
  co_return response;
}

bool FeedWrites::IsGone(const SharedBody& body) const {
  return body == nullptr ||
         body->header().expire_unix_ms <= base::UnixMs(dependencies_.clock.Wall());
}

// ABORTED if somebody else's edit came between reading and appending.
base::Task<absl::StatusOr<FeedWrites::Edited>> FeedWrites::EditOnce(
    const v1::EditUpdateRequest& request, const EditMask& mask, base::MonotonicTime deadline) {
  const UpdateId id(request.update_id());
  const PersonId actor(request.actor());
  auto reading = dependencies_.stored.ReadBody(id);
  const absl::StatusOr<SharedBody> current = co_await std::move(reading);
  co_await dependencies_.executor.Schedule();
  if (!current.ok()) {
    co_return current.status();
  }
  if (IsGone(*current)) {
    co_return NoSuchUpdate();
  }
  // Authors may, as long as they may post, which the script knows: who was put out of a group
  // brings nothing new into it.
  if ((*current)->header().author != actor) {
    auto refusing = RefuseTo(actor, id, NotAllowed("is not the author"), deadline);
    co_return co_await std::move(refusing);
  }
  absl::StatusOr<std::string> edited = EditedBody(id, **current, mask, request.update());
  if (!edited.ok()) {
    co_return edited.status();
  }
  std::vector<GroupId> groups;
  if ((*current)->header().is_of_several()) {
    auto asking = FindEditable(*current);
    absl::StatusOr<std::vector<GroupId>> found = co_await std::move(asking);
    if (!found.ok()) {
      co_return found.status();
    }
    groups = *std::move(found);
  }
  const absl::Status in_time = CheckInTime(dependencies_.clock, deadline);
  if (!in_time.ok()) {
    co_return in_time;
  }
  auto appending = AppendEdit(actor, id, *current, *edited);
  const absl::StatusOr<Appended> appended = co_await std::move(appending);
  co_await dependencies_.executor.Schedule();
  if (!appended.ok()) {
    co_return appended.status();
  }
  std::optional<Body> body = Body::Decode(*std::move(edited));
  if (!body) {
    co_return base::Error(absl::StatusCode::kInternal, "the edited body can't be decoded");
  }
  co_return Edited{appended->position, std::make_shared<const Body>(*std::move(body)),
                   std::move(groups)};
}

base::Task<absl::StatusOr<Appended>> FeedWrites::AppendEdit(PersonId actor, UpdateId id,
                                                            SharedBody current,
                                                            std::string edited) {
  const BodyHeader& header = current->header();
  if (!header.is_of_several()) {
    EditCommand command;
    command.actor = std::move(actor);
    command.update = id;
    command.expected_revision = header.revision;
    command.body = std::move(edited);
    return dependencies_.appender.Edit(std::move(command));
  }
  EditSeveralCommand command;
  command.actor = std::move(actor);
  command.update = id;
  command.expected_revision = header.revision;
  command.body = std::move(edited);
  for (const Target& target : header.targets) {
    if (target.carry.is_carried()) {
      command.groups.push_back(target.group);
    }
  }
  return dependencies_.appender.EditSeveral(std::move(command));
}

// The others learn of the update only if they can see it.
base::Task<absl::Status> FeedWrites::RefuseTo(PersonId actor, UpdateId update, absl::Status refusal,
                                              base::MonotonicTime deadline) {
  auto finding = dependencies_.visible.FindVisible(std::move(actor), update, deadline);
  const absl::StatusOr<SharedBody> visible = co_await std::move(finding);
  if (absl::IsNotFound(visible.status())) {
    co_return NoSuchUpdate();
  }
  co_return visible.ok() ? refusal : visible.status();
}

base::Task<absl::StatusOr<v1::DeleteUpdateResponse>> FeedWrites::Delete(
    v1::DeleteUpdateRequest request, base::MonotonicTime deadline) {
  absl::Status status = CheckTarget(request, dependencies_.layout);
  if (!status.ok()) {
    co_return status;
  }
  PersonId actor(request.actor());
  auto appending = AppendDelete(std::move(actor), UpdateId(request.update_id()), deadline);
  const absl::StatusOr<Deleted> deleted = co_await std::move(appending);
  if (!deleted.ok()) {
    co_return deleted.status();
  }
  auto waiting = WaitInForce(dependencies_.barrier, deleted->tokens, deadline);
  status = co_await std::move(waiting);
  if (!status.ok()) {
    co_return status;
  }
  if (deleted->was_gone) {
    co_return NoSuchUpdate();
  }
  v1::DeleteUpdateResponse response;
  for (const Token& token : deleted->tokens) {
    AddToken(token.position, *response.mutable_tokens());
  }
  co_return response;
}

// Authors may delete even after they have left the group. The script decides about moderators, who
// need not be able to see the update: the audience rule is not there to keep it from them.
base::Task<absl::StatusOr<FeedWrites::Deleted>> FeedWrites::AppendDelete(
    PersonId actor, UpdateId update, base::MonotonicTime deadline) {
  auto reading = dependencies_.stored.ReadBody(update);
  const absl::StatusOr<SharedBody> body = co_await std::move(reading);
  co_await dependencies_.executor.Schedule();
  if (!body.ok()) {
    co_return body.status();
  }
  if (IsGone(*body)) {
    auto waiting = WaitForAbsence(update, deadline);
    const absl::Status absent = co_await std::move(waiting);
    co_return absent.ok() ? NoSuchUpdate() : absent;
  }
  const absl::Status in_time = CheckInTime(dependencies_.clock, deadline);
  if (!in_time.ok()) {
    co_return in_time;
  }
  const BodyHeader& header = (*body)->header();
  if (header.is_of_several()) {
    auto deleting = DeleteSeveral(std::move(actor), update, *body, deadline);
    co_return co_await std::move(deleting);
  }
  DeleteCommand command{actor, update, header.group, header.author};
  auto appending = dependencies_.appender.Delete(std::move(command));
  const absl::StatusOr<Appended> appended = co_await std::move(appending);
  co_await dependencies_.executor.Schedule();
  if (absl::IsPermissionDenied(appended.status())) {
    auto refusing = RefuseTo(std::move(actor), update, appended.status(), deadline);
    co_return co_await std::move(refusing);
  }
  if (!appended.ok()) {
    co_return appended.status();
  }
  Deleted deleted;
  deleted.tokens.push_back({appended->position.shard(), appended->position});
  co_return deleted;
}

// The update is gone from Redis, perhaps by an earlier call of the same caller that timed out
// before its deletion was in force here. The log's end, read after that, is not before the
// deletion: once it is applied, so is the deletion, and the caller may be told that there is
// nothing.
base::Task<absl::Status> FeedWrites::WaitForAbsence(UpdateId update, base::MonotonicTime deadline) {
  auto reading = dependencies_.stored.ReadLogEnd(update.shard());
  const absl::StatusOr<Position> end = co_await std::move(reading);
  co_await dependencies_.executor.Schedule();
  if (!end.ok()) {
    co_return end.status();
  }
  auto waiting = WaitInForce(dependencies_.barrier, *end, deadline);
  co_return co_await std::move(waiting);
}

}  // namespace klatch
