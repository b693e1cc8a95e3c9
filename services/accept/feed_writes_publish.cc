#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "common/base/failpoint.h"
#include "services/accept/feed_writes.h"
#include "services/accept/grpc_status.h"
#include "services/accept/in_time.h"
#include "services/accept/update_message.h"
#include "services/accept/validate.h"
#include "services/accept/when_all.h"
#include "services/model/body.h"

namespace klatch {
namespace {

constexpr char kPublishMethod[] = "publish";

// The audience byte of an encoded body (services/model/body.h).
constexpr size_t kAudienceOffset = 1;

PublishCommand MakeCommand(const v1::PublishUpdateRequest& request) {
  return CommandToOne(kPublishMethod, PersonId(request.actor()), request.request_id(),
                      PublishPayload(request.update()));
}

v1::PublishUpdateResponse MakeResponse(Position position) {
  v1::PublishUpdateResponse response;
  response.set_update_id(position.value());
  v1::Token* token = response.add_tokens();
  token->set_shard(position.shard().value());
  token->set_position(position.value());
  return response;
}

// How a batch goes on, by the places of its items. An item that was refused before it could be
// appended has its error among the commands; one to several groups has its outcome in `several`.
struct Batch {
  explicit Batch(size_t size) : commands(size), appended(size), several(size) {}

  std::vector<absl::StatusOr<PublishCommand>> commands;
  std::vector<absl::StatusOr<Appended>> appended;
  std::vector<absl::StatusOr<v1::PublishUpdateResponse>> several;
};

v1::BatchPublishUpdatesResponse MakeResponse(Batch& batch, const std::vector<bool>& is_several) {
  v1::BatchPublishUpdatesResponse response;
  for (size_t i = 0; i < batch.commands.size(); ++i) {
    v1::BatchPublishResult* result = response.add_results();
    const absl::Status outcome = is_several[i]            ? batch.several[i].status()
                                 : batch.commands[i].ok() ? batch.appended[i].status()
                                                          : batch.commands[i].status();
    if (!outcome.ok()) {
      *result->mutable_error() = ToRpcStatus(outcome);
    } else if (is_several[i]) {
      *result->mutable_published() = *std::move(batch.several[i]);
    } else {
      *result->mutable_published() = MakeResponse(batch.appended[i]->position);
    }
  }
  return response;
}

bool IsToSeveral(const v1::PublishUpdateRequest& request) {
  return request.all_my_groups() || request.update().groups_size() > 1;
}

absl::Status CheckItemNamespace(const v1::PublishUpdateRequest& item, const Layout& layout) {
  if (item.namespace_().empty() || item.namespace_() == layout.name) {
    return absl::OkStatus();
  }
  return base::FieldError(absl::StatusCode::kInvalidArgument, "namespace",
                          "is not the namespace of the batch");
}

}  // namespace

absl::Status FeedWrites::CheckPublish(const v1::PublishUpdateRequest& request) const {
  KLATCH_RETURN_IF_ERROR(CheckId(request.actor(), "actor"));
  KLATCH_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  KLATCH_RETURN_IF_ERROR(CheckTargets(request));
  KLATCH_RETURN_IF_ERROR(CheckAck(request.ack()));
  KLATCH_RETURN_IF_ERROR(CheckUpdateContent(request.update(), "update"));
  if (dependencies_.rates == nullptr) {
    return absl::OkStatus();
  }
  // Each group has a record of it.
  const int groups = std::max(1, request.update().groups_size());
  return dependencies_.rates->Take(request.actor(), static_cast<uint32_t>(groups));
}

base::Task<absl::StatusOr<bool>> FeedWrites::Sees(PersonId actor, uint64_t id, std::string field,
                                                  base::MonotonicTime deadline) {
  if (id == 0) {
    co_return true;
  }
  auto task = dependencies_.visible.FindVisible(std::move(actor), UpdateId(id), deadline);
  const absl::StatusOr<SharedBody> found = co_await std::move(task);
  if (!found.ok() && !absl::IsNotFound(found.status())) {
    co_return base::Annotate(found.status(), field);
  }
  co_return found.ok();
}

// What can't be seen is refused by the script, which knows whether this is a repetition: what was
// accepted once stays accepted, whatever has become of the update that it refers to.
base::Task<absl::StatusOr<PublishCommand>> FeedWrites::Prepare(v1::PublishUpdateRequest request,
                                                               base::MonotonicTime deadline) {
  const absl::Status status = CheckPublish(request);
  if (!status.ok()) {
    co_return status;
  }
  auto looking = FindBadReference(PersonId(request.actor()), request.update(), deadline);
  const absl::StatusOr<BadReference> bad_reference = co_await std::move(looking);
  if (!bad_reference.ok()) {
    co_return bad_reference.status();
  }
  PublishCommand command = MakeCommand(request);
  command.bad_reference = *bad_reference;
  command.bad_expiry = FindBadExpiry(request.update());
  command.ack = static_cast<AckClass>(request.ack());
  co_return command;
}

// The script refuses this, too: who repeats a post comes back later, when its time may have come.
BadExpiry FeedWrites::FindBadExpiry(const v1::Update& update) const {
  if (!update.has_expire_time()) {
    return BadExpiry::kNone;
  }
  const std::chrono::milliseconds ahead(ExpireUnixMs(update) -
                                        base::UnixMs(dependencies_.clock.Wall()));
  if (ahead < dependencies_.expire_min) {
    return BadExpiry::kTooNear;
  }
  return ahead > std::min<std::chrono::milliseconds>(limits::kExpireMax,
                                                     dependencies_.body_retention)
             ? BadExpiry::kTooFar
             : BadExpiry::kNone;
}

base::Task<absl::StatusOr<BadReference>> FeedWrites::FindBadReference(
    PersonId actor, v1::Update update, base::MonotonicTime deadline) {
  auto reply_check = Sees(actor, update.reply_to(), "update.reply_to", deadline);
  const absl::StatusOr<bool> sees_reply = co_await std::move(reply_check);
  if (!sees_reply.ok()) {
    co_return sees_reply.status();
  }
  auto reshare_check = Sees(actor, update.reshare_of(), "update.reshare_of", deadline);
  const absl::StatusOr<bool> sees_reshare = co_await std::move(reshare_check);
  if (!sees_reshare.ok()) {
    co_return sees_reshare.status();
  }
  if (!*sees_reply) {
    co_return BadReference::kReplyTo;
  }
  co_return *sees_reshare ? BadReference::kNone : BadReference::kReshareOf;
}

base::Task<absl::StatusOr<v1::PublishUpdateResponse>> FeedWrites::Publish(
    v1::PublishUpdateRequest request, base::MonotonicTime deadline) {
  absl::Status status = CheckNamespace(request.namespace_(), dependencies_.layout);
  if (status.ok()) {
    status = dependencies_.admission.Admit();
  }
  if (!status.ok()) {
    co_return status;
  }
  if (IsToSeveral(request)) {
    auto publishing = PublishSeveral(std::move(request), deadline);
    co_return co_await std::move(publishing);
  }
  auto preparation = Prepare(std::move(request), deadline);
  absl::StatusOr<PublishCommand> command = co_await std::move(preparation);
  if (!command.ok()) {
    co_return command.status();
  }
  status = CheckInTime(dependencies_.clock, deadline);
  if (!status.ok()) {
    co_return status;
  }
  std::vector<PublishCommand> commands;
  commands.push_back(*std::move(command));
  auto appending = Append(&Appender::Publish, std::move(commands));
  const std::vector<absl::StatusOr<Appended>> appended = co_await std::move(appending);
  if (!appended.front().ok()) {
    co_return appended.front().status();
  }
  co_return MakeResponse(appended.front()->position);
}

base::Task<absl::StatusOr<v1::BatchPublishUpdatesResponse>> FeedWrites::BatchPublish(
    v1::BatchPublishUpdatesRequest request, base::MonotonicTime deadline) {
  absl::Status status = CheckNamespace(request.namespace_(), dependencies_.layout);
  if (status.ok()) {
    status = CheckBatchSize(request.requests_size());
  }
  if (status.ok()) {
    status = CheckBatchGroups(request.requests());
  }
  if (status.ok()) {
    status = dependencies_.admission.Admit();
  }
  if (!status.ok()) {
    co_return status;
  }
  // Side by side, so that a batch of replies waits for Redis no longer than one.
  Batch batch(static_cast<size_t>(request.requests_size()));
  std::vector<bool> is_several;
  std::vector<base::Task<void>> preparing;
  for (int i = 0; i < request.requests_size(); ++i) {
    v1::PublishUpdateRequest& item = *request.mutable_requests(i);
    const size_t place = static_cast<size_t>(i);
    is_several.push_back(IsToSeveral(item));
    preparing.push_back(is_several.back()
                            ? PublishSeveralItem(std::move(item), deadline, batch.several[place])
                            : PrepareItem(std::move(item), deadline, batch.commands[place]));
  }
  auto all_prepared = WhenAll(std::move(preparing));
  co_await std::move(all_prepared);
  KLATCH_FAILPOINT("posts-checked");
  auto appending = AppendPrepared(&Appender::Publish, batch.commands, deadline, batch.appended);
  co_await std::move(appending);
  KLATCH_FAILPOINT("posts-answering");
  co_return MakeResponse(batch, is_several);
}

base::Task<void> FeedWrites::AppendPrepared(How how,
                                            std::vector<absl::StatusOr<PublishCommand>>& commands,
                                            base::MonotonicTime deadline,
                                            std::vector<absl::StatusOr<Appended>>& results) {
  const absl::Status status = CheckInTime(dependencies_.clock, deadline);
  std::map<ShardIndex, std::vector<size_t>> by_shard;
  for (size_t i = 0; i < commands.size(); ++i) {
    if (!status.ok()) {
      results[i] = status;
    } else if (commands[i].ok()) {
      by_shard[dependencies_.layout.ShardOf(commands[i]->group)].push_back(i);
    }
  }
  std::vector<base::Task<void>> shards;
  for (auto& [shard, which] : by_shard) {
    shards.push_back(AppendShard(how, commands, std::move(which), results));
  }
  auto all = WhenAll(std::move(shards));
  co_await std::move(all);
}

base::Task<void> FeedWrites::PublishSeveralItem(v1::PublishUpdateRequest item,
                                                base::MonotonicTime deadline,
                                                absl::StatusOr<v1::PublishUpdateResponse>& result) {
  const absl::Status status = CheckItemNamespace(item, dependencies_.layout);
  if (!status.ok()) {
    result = status;
    co_return;
  }
  auto publishing = PublishSeveral(std::move(item), deadline);
  result = co_await std::move(publishing);
}

base::Task<void> FeedWrites::PrepareItem(v1::PublishUpdateRequest item,
                                         base::MonotonicTime deadline,
                                         absl::StatusOr<PublishCommand>& result) {
  const absl::Status status = CheckItemNamespace(item, dependencies_.layout);
  if (!status.ok()) {
    result = status;
    co_return;
  }
  auto preparation = Prepare(std::move(item), deadline);
  result = co_await std::move(preparation);
}

base::Task<void> FeedWrites::AppendShard(How how,
                                         std::vector<absl::StatusOr<PublishCommand>>& commands,
                                         std::vector<size_t> which,
                                         std::vector<absl::StatusOr<Appended>>& results) {
  std::vector<PublishCommand> own;
  own.reserve(which.size());
  for (size_t i : which) {
    own.push_back(*std::move(commands[i]));
  }
  auto appending = Append(how, std::move(own));
  std::vector<absl::StatusOr<Appended>> outcomes = co_await std::move(appending);
  for (size_t i = 0; i < which.size(); ++i) {
    results[which[i]] = std::move(outcomes[i]);
  }
}

base::Task<std::vector<absl::StatusOr<Appended>>> FeedWrites::Append(
    How how, std::vector<PublishCommand> commands) {
  const ShardIndex shard = dependencies_.layout.ShardOf(commands.front().group);
  std::vector<std::string> bodies;
  bodies.reserve(commands.size());
  for (const PublishCommand& command : commands) {
    bodies.push_back(command.body);
  }
  // Before the append: an edit or delete that is applied from here on keeps our copy out.
  const uint64_t generation = dependencies_.bodies.Generation(shard);
  auto publishing = (dependencies_.appender.*how)(std::move(commands));
  std::vector<absl::StatusOr<Appended>> appended = co_await std::move(publishing);
  co_await dependencies_.executor.Schedule();
  for (size_t i = 0; i < appended.size(); ++i) {
    if (appended[i].ok()) {
      Keep(std::move(bodies[i]), *appended[i], generation);
    }
  }
  co_return appended;
}

// Not of a replay: the update may have been edited since it was first accepted.
void FeedWrites::Keep(std::string stored, const Appended& appended, uint64_t generation) {
  if (appended.replayed || appended.audience == AudienceRule::kGroupDefault) {
    return;
  }
  stored[kAudienceOffset] = static_cast<char>(appended.audience);
  std::optional<Body> body = Body::Decode(std::move(stored));
  if (body) {
    dependencies_.bodies.Put(appended.position, std::make_shared<const Body>(*std::move(body)),
                             generation);
  }
}

}  // namespace klatch
