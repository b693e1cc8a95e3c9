// The part of RedisAppender that posts to several groups, and changes such posts.
#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <utility>

#include "common/base/bytes.h"
#include "common/redis/connection.h"
#include "services/log/carry_refusal.h"
#include "services/log/records.h"
#include "services/log/redis_appender.h"
#include "services/log/scripts.h"

namespace klatch {
namespace {

constexpr size_t kHexDigits = 16;
// A removal is swept up no sooner than its call is over.
constexpr std::chrono::milliseconds kNotedAheadMax = limits::kCallDeadlineDefault;
constexpr uint64_t kRefusalRetentionMs =
    std::chrono::milliseconds(limits::kRefusalRetention).count();

std::string Number(uint64_t value) { return std::to_string(value); }

std::string TargetsRefusal(BadTargets targets) {
  switch (targets) {
    case BadTargets::kNoGroup:
      return "NO_TARGETS";
    case BadTargets::kTooMany:
      return "TOO_MANY_TARGETS";
    case BadTargets::kNone:
      break;
  }
  return "";
}

absl::Status UnknownAnswer() {
  return base::Error(absl::StatusCode::kInternal, "a script gave an answer of unknown shape");
}

// A member of the pending posts: the id's digits, then the request id.
std::optional<PendingPost> DecodePending(std::string_view member) {
  if (member.size() < kHexDigits) {
    return std::nullopt;
  }
  uint64_t id = 0;
  const char* end = member.data() + kHexDigits;
  const auto parsed = std::from_chars(member.data(), end, id, 16);
  if (parsed.ec != std::errc() || parsed.ptr != end) {
    return std::nullopt;
  }
  return PendingPost{UpdateId(id), std::string(member.substr(kHexDigits))};
}

}  // namespace

base::Task<absl::StatusOr<redis::Reply>> RedisAppender::Send(redis::Command command,
                                                             std::string what, ShardIndex shard) {
  redis::Pipeline::CallAwaiter call = pipeline_.Call(std::move(command));
  absl::StatusOr<redis::Reply> reply = co_await call;
  if (!reply.ok()) {
    co_return base::Annotate(reply.status(), fmt::format("{} on shard {}", what, shard.value()));
  }
  co_return reply;
}

base::Task<absl::StatusOr<PublishedSeveral>> RedisAppender::PublishSeveral(
    PublishSeveralCommand command) {
  const ShardIndex shard = layout_.HomeShardOf(command.actor);
  if (WantsCopies(command.ack)) {
    auto asking = acks_->Offered(command.ack);
    const absl::Status offered = co_await std::move(asking);
    if (!offered.ok()) {
      co_return offered;
    }
  }
  std::string refusal = PublishWords::RefusalFor(command.bad_reference, command.bad_expiry);
  if (refusal.empty()) {
    refusal = TargetsRefusal(command.bad_targets);
  }
  redis::Command script = redis::Command::Eval(
      scripts::PublishSeveral(),
      {keys_.Log(shard), keys_.OnceSeveral(command.actor, command.request_id),
       keys_.Pending(shard)},
      {clock_.Argument(shard), body_retention_ms_, once_retention_ms_, keys_.UpdatePrefix(shard),
       command.payload_digest, command.body, records::Homed(command.actor), command.request_id,
       std::move(refusal), PublishWords::ScriptTime(command.expire_unix_ms)});
  auto sending = Send(std::move(script), "publish to several groups", shard);
  const absl::StatusOr<redis::Reply> reply = co_await std::move(sending);
  if (!reply.ok()) {
    co_return reply.status();
  }
  const absl::StatusOr<Outcome> outcome = ReadOutcome(reply->view(), {});
  if (!outcome.ok()) {
    co_return base::Annotate(outcome.status(), "publish to several groups");
  }
  clock_.Note(outcome->position);
  if (WantsCopies(command.ack)) {
    auto waiting = acks_->AwaitRecords(command.ack, {outcome->position});
    const absl::Status copied = co_await std::move(waiting);
    if (!copied.ok()) {
      co_return base::Annotate(copied, "publish to several groups");
    }
  }
  PublishedSeveral published{outcome->position, outcome->replayed, std::nullopt};
  const std::string_view stored = (*reply)[3].text();
  if (!stored.empty()) {
    published.stored = Body::Decode(std::string(stored));
    if (!published.stored || !published.stored->header().is_of_several()) {
      co_return UnreadableKey(keys_.Update(published.id), "holds no body");
    }
  }
  co_return published;
}

base::Task<absl::StatusOr<Carry>> RedisAppender::CarryTo(CarryCommand command) {
  const GroupId& group = command.group;
  const ShardIndex shard = layout_.ShardOf(group);
  std::string id;
  base::AppendLittleEndian<uint64_t>(id, command.update.value());
  redis::Command script = redis::Command::Eval(
      scripts::Carry(),
      {keys_.Log(shard), keys_.Carry(group, command.update), keys_.Group(group),
       keys_.Members(group), keys_.Feed(group)},
      {clock_.Argument(shard), body_retention_ms_, Number(kRefusalRetentionMs), std::move(id),
       command.author.value(), Number(static_cast<uint8_t>(command.audience)),
       records::Carried(group, command.author, command.update)});
  auto sending = Send(std::move(script), "carry", shard);
  const absl::StatusOr<redis::Reply> reply = co_await std::move(sending);
  if (!reply.ok()) {
    co_return reply.status();
  }
  if (const auto refusal = CarryRefusalOf((*reply)[0].text())) {
    co_return Carry{.position = {}, .audience = AudienceRule::kGroupDefault, .refusal = *refusal};
  }
  const absl::StatusOr<Outcome> outcome = ReadOutcome(reply->view(), {});
  if (!outcome.ok()) {
    co_return base::Annotate(outcome.status(), fmt::format("carry to {}", group.value()));
  }
  if (outcome->position.is_zero() || outcome->audience == AudienceRule::kGroupDefault) {
    co_return UnknownAnswer();
  }
  clock_.Note(outcome->position);
  if (WantsCopies(command.ack)) {
    auto waiting = acks_->AwaitRecords(command.ack, {outcome->position});
    const absl::Status copied = co_await std::move(waiting);
    if (!copied.ok()) {
      co_return base::Annotate(copied, fmt::format("carry to {}", group.value()));
    }
  }
  co_return Carry{outcome->position, outcome->audience, CarryRefusal::kNone};
}

base::Task<absl::StatusOr<Settled>> RedisAppender::Settle(SettleCommand command) {
  const ShardIndex shard = command.update.shard();
  std::vector<std::string> keys = {keys_.Log(shard), keys_.Update(command.update),
                                   keys_.Pending(shard)};
  if (command.author) {
    keys.push_back(keys_.OnceSeveral(*command.author, command.request_id));
  }
  std::vector<std::string> arguments = {clock_.Argument(shard), command.request_id,
                                        records::Settled(command.update)};
  for (const Carry& carry : command.carries) {
    arguments.push_back(EncodeCarry(carry));
  }
  redis::Command script =
      redis::Command::Eval(scripts::Settle(), std::move(keys), std::move(arguments));
  auto sending = Send(std::move(script), "settle", shard);
  const absl::StatusOr<redis::Reply> reply = co_await std::move(sending);
  if (!reply.ok()) {
    co_return reply.status();
  }
  const absl::StatusOr<Outcome> outcome = ReadOutcome(reply->view(), {});
  if (!outcome.ok()) {
    co_return base::Annotate(outcome.status(), "settle");
  }
  co_return Settled{outcome->position, outcome->carried};
}

base::Task<absl::Status> RedisAppender::AwaitSettling(UpdateId update) {
  const ShardIndex shard = update.shard();
  redis::Command script =
      redis::Command::Eval(scripts::AwaitSettling(), {keys_.Log(shard), keys_.Pending(shard)},
                           {clock_.Argument(shard), fmt::format("{:016x}", update.value()),
                            Number(kNotedAheadMax.count())});
  auto sending = Send(std::move(script), "note a removal", shard);
  const absl::StatusOr<redis::Reply> reply = co_await std::move(sending);
  if (!reply.ok()) {
    co_return reply.status();
  }
  co_return ReadDone(reply->view());
}

base::Task<absl::StatusOr<std::vector<PendingPost>>> RedisAppender::TakePending(
    ShardIndex shard, std::chrono::milliseconds age, size_t count) {
  redis::Command script =
      redis::Command::Eval(scripts::TakePending(), {keys_.Log(shard), keys_.Pending(shard)},
                           {clock_.Argument(shard), Number(static_cast<uint64_t>(age.count())),
                            Number(count), Number(kNotedAheadMax.count())});
  auto sending = Send(std::move(script), "take pending posts", shard);
  const absl::StatusOr<redis::Reply> reply = co_await std::move(sending);
  if (!reply.ok()) {
    co_return reply.status();
  }
  const absl::Status status = ReadDone(reply->view());
  if (!status.ok()) {
    co_return status;
  }
  std::vector<PendingPost> posts;
  const redis::ReplyView members = (*reply)[1];
  for (size_t i = 0; i < members.size(); ++i) {
    std::optional<PendingPost> post = DecodePending(members[i].text());
    if (!post || post->update.shard() != shard) {
      co_return UnreadableKey(keys_.Pending(shard), "holds what is no post");
    }
    posts.push_back(*std::move(post));
  }
  co_return posts;
}

base::Task<absl::StatusOr<Appended>> RedisAppender::EditSeveral(EditSeveralCommand command) {
  const ShardIndex shard = command.update.shard();
  std::string record = records::EditedSeveral(command.actor, command.update, command.groups);
  return Append(
      redis::Command::Eval(scripts::EditSeveral(), {keys_.Log(shard), keys_.Update(command.update)},
                           {clock_.Argument(shard), command.actor.value(),
                            Number(command.expected_revision), command.body, std::move(record)}),
      "edit", shard, {}, AckClass::kStrongest);
}

base::Task<absl::StatusOr<Appended>> RedisAppender::DeleteSeveral(PersonId author, UpdateId update,
                                                                  std::vector<GroupId> groups) {
  const ShardIndex shard = update.shard();
  std::string record = records::DeletedSeveral(author, update, groups);
  return Append(
      redis::Command::Eval(scripts::DeleteSeveral(), {keys_.Log(shard), keys_.Update(update)},
                           {clock_.Argument(shard), author.value(), std::move(record)}),
      "delete", shard, {}, AckClass::kStrongest);
}

base::Task<absl::StatusOr<Appended>> RedisAppender::RemoveUpdate(PersonId actor, GroupId group,
                                                                 UpdateId update) {
  const ShardIndex shard = layout_.ShardOf(group);
  std::string record = records::Removed(group, actor, update);
  return Append(
      redis::Command::Eval(scripts::RemoveUpdate(),
                           {keys_.Log(shard), keys_.Carry(group, update), keys_.Members(group)},
                           {clock_.Argument(shard), actor.value(), std::move(record)}),
      "take out of a group", shard, {}, AckClass::kStrongest);
}

}  // namespace klatch
