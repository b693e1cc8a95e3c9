// Posts to several groups: the author's home shard takes the post, then each group decides, then what
// was decided is written into the body. Whoever comes back with the same request id goes on from
// wherever that ended.

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "common/base/failpoint.h"
#include "services/accept/feed_writes.h"
#include "services/accept/grpc_status.h"
#include "services/accept/in_time.h"
#include "services/accept/update_message.h"
#include "services/accept/validate.h"
#include "services/accept/when_all.h"
#include "services/log/carry_refusal.h"
#include "services/model/body.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

// They keep digests apart: of all groups, what counts is that it was asked for, not what they were.
constexpr char kSeveralMethod[] = "publish to several";
constexpr char kAllMethod[] = "publish to all";

BodyHeader HeaderOf(const v1::PublishUpdateRequest& request, const std::vector<GroupId>& groups) {
  BodyHeader header;
  header.audience = static_cast<AudienceRule>(request.update().audience());
  header.author = PersonId(request.actor());
  for (const GroupId& group : groups) {
    header.targets.push_back({group, Carry{}});
  }
  return header;
}

// One token per shard: the last position there.
void AddTokens(const std::vector<Position>& positions,
               google::protobuf::RepeatedPtrField<v1::Token>& tokens) {
  std::map<ShardIndex, Position> last;
  for (const Position position : positions) {
    Position& known = last[position.shard()];
    known = std::max(known, position);
  }
  for (const auto& [shard, position] : last) {
    v1::Token* token = tokens.Add();
    token->set_shard(shard.value());
    token->set_position(position.value());
  }
}

// What a caller is told once every group has decided.
absl::StatusOr<v1::PublishUpdateResponse> ResponseOf(UpdateId id,
                                                     const std::vector<Target>& targets) {
  v1::PublishUpdateResponse response;
  response.set_update_id(id.value());
  std::vector<Position> positions(1, id);
  bool is_anywhere = targets.empty();
  for (const Target& target : targets) {
    v1::GroupResult* result = response.add_groups();
    result->set_group(target.group.value());
    if (target.carry.is_carried()) {
      is_anywhere = true;
      positions.push_back(target.carry.position);
      result->set_position(target.carry.position.value());
    } else {
      *result->mutable_error() = ToRpcStatus(StatusOf(target.carry.refusal));
    }
  }
  if (!is_anywhere) {
    return StatusOf(targets.front().carry.refusal);
  }
  AddTokens(positions, *response.mutable_tokens());
  return response;
}

}  // namespace

base::Task<absl::StatusOr<PublishSeveralCommand>> FeedWrites::PrepareSeveral(
    v1::PublishUpdateRequest request, base::MonotonicTime deadline) {
  const absl::Status status = CheckPublish(request);
  if (!status.ok()) {
    co_return status;
  }
  const PersonId actor(request.actor());
  auto looking = FindBadReference(actor, request.update(), deadline);
  const absl::StatusOr<BadReference> bad_reference = co_await std::move(looking);
  if (!bad_reference.ok()) {
    co_return bad_reference.status();
  }
  PublishSeveralCommand command;
  command.actor = actor;
  command.request_id = request.request_id();
  command.bad_reference = *bad_reference;
  command.bad_expiry = FindBadExpiry(request.update());
  command.ack = static_cast<AckClass>(request.ack());
  command.expire_unix_ms = ExpireUnixMs(request.update());
  command.payload_digest = RequestDigest(request.all_my_groups() ? kAllMethod : kSeveralMethod,
                                         PublishPayload(request.update()));
  std::vector<GroupId> groups;
  for (const std::string& group : request.update().groups()) {
    groups.emplace_back(group);
  }
  if (request.all_my_groups()) {
    auto finding = dependencies_.rights.AllWherePosts(actor);
    absl::StatusOr<std::vector<GroupId>> found = co_await std::move(finding);
    co_await dependencies_.executor.Schedule();
    if (!found.ok()) {
      co_return found.status();
    }
    groups = *std::move(found);
  }
  // The script refuses, since this may be the repetition of a post that did have groups.
  if (groups.empty()) {
    command.bad_targets = BadTargets::kNoGroup;
  } else if (groups.size() > limits::kGroupsPerUpdateMax) {
    command.bad_targets = BadTargets::kTooMany;
  } else {
    request.mutable_update()->clear_groups();
    request.mutable_update()->clear_original_time();
    command.body = EncodeBody(HeaderOf(request, groups), UpdateBytes(request.update(), actor));
  }
  co_return command;
}

base::Task<absl::StatusOr<v1::PublishUpdateResponse>> FeedWrites::PublishSeveral(
    v1::PublishUpdateRequest request, base::MonotonicTime deadline) {
  auto preparation = PrepareSeveral(std::move(request), deadline);
  absl::StatusOr<PublishSeveralCommand> command = co_await std::move(preparation);
  if (!command.ok()) {
    co_return command.status();
  }
  // The home shard takes it before a group has said that it knows the actor, and gives it to their
  // profile.
  const std::string_view persons[] = {command->actor.value()};
  absl::Status status = dependencies_.admission.AdmitPersons(persons, "actor");
  if (status.ok()) {
    status = CheckInTime(dependencies_.clock, deadline);
  }
  if (!status.ok()) {
    co_return status;
  }
  // Before the first append: what changes the update from here on keeps our copy out.
  const uint64_t generation =
      dependencies_.bodies.Generation(dependencies_.layout.HomeShardOf(command->actor));
  std::optional<Body> body = Body::Decode(command->body);
  std::string request_id = command->request_id;
  const AckClass ack = command->ack;
  auto publishing = dependencies_.appender.PublishSeveral(*std::move(command));
  absl::StatusOr<PublishedSeveral> published = co_await std::move(publishing);
  co_await dependencies_.executor.Schedule();
  if (!published.ok()) {
    co_return published.status();
  }
  KLATCH_FAILPOINT("several-homed");
  if (published->replayed) {
    body = published->stored;
  }
  if (!body) {
    // Published before, and deleted or expired since.
    co_return ResponseOf(published->id, {});
  }
  auto carrying = CarryOn(*published, body->header(), std::string(body->update_bytes()),
                          std::move(request_id), generation, ack);
  co_return co_await std::move(carrying);
}

base::Task<absl::StatusOr<v1::PublishUpdateResponse>> FeedWrites::CarryOn(
    PublishedSeveral published, BodyHeader header, std::string update_bytes, std::string request_id,
    uint64_t generation, AckClass ack) {
  const bool is_open = std::ranges::any_of(
      header.targets, [](const Target& target) { return !target.carry.is_decided(); });
  if (!is_open) {
    co_return ResponseOf(published.id, header.targets);
  }
  SettleCommand settling;
  settling.author = header.author;
  settling.request_id = std::move(request_id);
  auto finishing =
      carrier_.Finish(published.id, header, std::move(settling), Carrier::Ask::kUndecided, ack);
  const absl::StatusOr<std::vector<Carry>> carries = co_await std::move(finishing);
  co_await dependencies_.executor.Schedule();
  if (!carries.ok()) {
    co_return carries.status();
  }
  for (size_t i = 0; i < carries->size(); ++i) {
    header.targets[i].carry = (*carries)[i];
  }
  absl::StatusOr<v1::PublishUpdateResponse> response = ResponseOf(published.id, header.targets);
  if (response.ok() && !published.replayed) {
    std::optional<Body> body = Body::Decode(EncodeBody(header, update_bytes));
    if (body) {
      dependencies_.bodies.Put(published.id, std::make_shared<const Body>(*std::move(body)),
                               generation);
    }
  }
  co_return response;
}

base::Task<absl::StatusOr<std::vector<GroupId>>> FeedWrites::FindEditable(SharedBody current) {
  std::vector<GroupId> carried;
  for (const Target& target : current->header().targets) {
    if (target.carry.is_carried()) {
      carried.push_back(target.group);
    }
  }
  auto asking = dependencies_.rights.WherePosts(current->header().author, std::move(carried));
  absl::StatusOr<std::vector<GroupId>> groups = co_await std::move(asking);
  co_await dependencies_.executor.Schedule();
  if (groups.ok() && groups->empty()) {
    co_return base::FieldError(absl::StatusCode::kPermissionDenied, "actor",
                               "may not post in any of the update's groups");
  }
  co_return groups;
}

// Its author deletes the update; a moderator takes it out of their own groups. The audience rule is
// not there to keep it from them.
base::Task<absl::StatusOr<FeedWrites::Deleted>> FeedWrites::DeleteSeveral(
    PersonId actor, UpdateId update, SharedBody body, base::MonotonicTime deadline) {
  const BodyHeader& header = body->header();
  std::vector<GroupId> carried;
  std::vector<GroupId> had;
  for (const Target& target : header.targets) {
    if (target.carry.is_carried()) {
      carried.push_back(target.group);
    }
    if (target.carry.is_carried() || target.carry.refusal == CarryRefusal::kRemoved) {
      had.push_back(target.group);
    }
  }
  if (actor == header.author) {
    auto deleting = dependencies_.appender.DeleteSeveral(actor, update, std::move(carried));
    const absl::StatusOr<Appended> appended = co_await std::move(deleting);
    co_await dependencies_.executor.Schedule();
    if (!appended.ok()) {
      co_return appended.status();
    }
    Deleted deleted;
    deleted.tokens.push_back({appended->position.shard(), appended->position});
    co_return deleted;
  }
  auto asking = dependencies_.rights.WhereModerates(actor, std::move(had));
  absl::StatusOr<std::vector<GroupId>> moderated = co_await std::move(asking);
  co_await dependencies_.executor.Schedule();
  if (!moderated.ok()) {
    co_return moderated.status();
  }
  if (moderated->empty()) {
    absl::Status refusal = base::FieldError(absl::StatusCode::kPermissionDenied, "actor",
                                            "does not have a role that allows this");
    auto refusing = RefuseTo(std::move(actor), update, std::move(refusal), deadline);
    co_return co_await std::move(refusing);
  }
  auto removing = RemoveFrom(*std::move(moderated), std::move(actor), update, body);
  co_return co_await std::move(removing);
}

base::Task<void> FeedWrites::RemoveFromOne(PersonId actor, GroupId group, UpdateId update,
                                           absl::StatusOr<Appended>& result) {
  auto removing = dependencies_.appender.RemoveUpdate(std::move(actor), std::move(group), update);
  result = co_await std::move(removing);
}

// First the note that it is to be settled: should this node die between the groups' records and the
// settlement, the sweeper comes to it.
base::Task<absl::StatusOr<FeedWrites::Deleted>> FeedWrites::RemoveFrom(std::vector<GroupId> groups,
                                                                       PersonId actor,
                                                                       UpdateId update,
                                                                       SharedBody body) {
  auto noting = dependencies_.appender.AwaitSettling(update);
  const absl::Status noted = co_await std::move(noting);
  if (!noted.ok()) {
    co_await dependencies_.executor.Schedule();
    co_return noted;
  }
  std::vector<absl::StatusOr<Appended>> removals(groups.size());
  std::vector<base::Task<void>> removing;
  for (size_t i = 0; i < groups.size(); ++i) {
    removing.push_back(RemoveFromOne(actor, groups[i], update, removals[i]));
  }
  auto all = WhenAll(std::move(removing));
  co_await std::move(all);

  Deleted deleted{.tokens = {}, .was_gone = true};
  std::set<GroupId> removed;
  absl::Status failure;
  for (size_t i = 0; i < groups.size(); ++i) {
    if (removals[i].ok()) {
      const Position position = removals[i]->position;
      deleted.tokens.push_back({position.shard(), position});
      deleted.was_gone = deleted.was_gone && removals[i]->replayed;
      removed.insert(groups[i]);
    } else {
      failure.Update(removals[i].status());
    }
  }
  SettleCommand settling;
  settling.update = update;
  for (const Target& target : body->header().targets) {
    settling.carries.push_back(removed.contains(target.group)
                                   ? Carry{.position = {},
                                           .audience = AudienceRule::kGroupDefault,
                                           .refusal = CarryRefusal::kRemoved}
                                   : target.carry);
  }
  auto settle = dependencies_.appender.Settle(std::move(settling));
  const absl::StatusOr<Settled> settled = co_await std::move(settle);
  co_await dependencies_.executor.Schedule();
  if (!failure.ok() || !settled.ok()) {
    co_return failure.ok() ? settled.status() : failure;
  }
  deleted.tokens.push_back({settled->position.shard(), settled->position});
  co_return deleted;
}

}  // namespace klatch
