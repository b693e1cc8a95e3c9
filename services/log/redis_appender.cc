#include "services/log/redis_appender.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "services/log/group_hash.h"
#include "services/log/records.h"
#include "services/log/scripts.h"

namespace klatch {
namespace {

std::string Number(uint64_t value) { return std::to_string(value); }

std::string What(std::string_view what, ShardIndex shard) {
  return fmt::format("{} on shard {}", what, shard.value());
}

// A task that has failed already.
base::Task<absl::StatusOr<Appended>> Refused(absl::Status status) { co_return status; }

}  // namespace

RedisAppender::RedisAppender(redis::Pipeline& pipeline, const Layout& layout, LogClock& clock,
                             const Options& options)
    : pipeline_(pipeline),
      layout_(layout),
      clock_(clock),
      keys_(layout),
      body_retention_ms_(std::to_string(options.body_retention.count())),
      once_retention_ms_(std::to_string(options.once_retention.count())),
      words_(layout, clock, options.body_retention, options.once_retention),
      queue_(pipeline, words_, layout.shard_count, options.publish_wait_max, options.open_share),
      acks_(options.acks) {}

base::Task<std::vector<absl::StatusOr<Appended>>> RedisAppender::Publish(
    std::vector<PublishCommand> commands) {
  return PublishAll(std::move(commands), UpdateOrigin::kPost);
}

base::Task<std::vector<absl::StatusOr<Appended>>> RedisAppender::Import(
    std::vector<PublishCommand> commands) {
  return PublishAll(std::move(commands), UpdateOrigin::kImport);
}

base::Task<std::vector<absl::StatusOr<Appended>>> RedisAppender::PublishAll(
    std::vector<PublishCommand> commands, UpdateOrigin origin) {
  std::vector<absl::StatusOr<Appended>> results;
  if (commands.empty()) {
    co_return results;
  }
  const bool wants_copies = std::ranges::any_of(
      commands, [this](const PublishCommand& command) { return WantsCopies(command.ack); });
  if (wants_copies) {
    auto asking = FindRefused(commands);
    std::vector<absl::Status> refused = co_await std::move(asking);
    if (!std::ranges::all_of(refused, &absl::Status::ok)) {
      auto publishing = PublishThose(std::move(commands), origin, std::move(refused));
      co_return co_await std::move(publishing);
    }
  }
  const ShardIndex shard = layout_.ShardOf(commands[0].group);
  PublishQueue::Awaiter publish = queue_.Publish(origin, shard, commands);
  results = co_await publish;
  for (const absl::StatusOr<Appended>& result : results) {
    if (result.ok()) {
      clock_.Note(result->position);
    }
  }
  if (wants_copies) {
    auto waiting = AwaitCopies(commands, results);
    co_await std::move(waiting);
  }
  for (absl::StatusOr<Appended>& result : results) {
    if (!result.ok()) {
      const std::string what = What(origin == UpdateOrigin::kImport ? "import" : "publish", shard);
      result = base::Annotate(result.status(), what);
    }
  }
  co_return results;
}

base::Task<absl::StatusOr<Outcome>> RedisAppender::Run(redis::Command command, std::string what,
                                                       ShardIndex shard, RequestFields fields,
                                                       AckClass ack) {
  if (WantsCopies(ack)) {
    auto asking = acks_->Offered(ack);
    const absl::Status offered = co_await std::move(asking);
    if (!offered.ok()) {
      co_return offered;
    }
  }
  redis::Pipeline::CallAwaiter call = pipeline_.Call(std::move(command));
  absl::StatusOr<redis::Reply> reply = co_await call;
  absl::StatusOr<Outcome> outcome =
      reply.ok() ? ReadOutcome(reply->view(), fields) : absl::StatusOr<Outcome>(reply.status());
  const std::string context = What(what, shard);
  if (!outcome.ok()) {
    co_return base::Annotate(outcome.status(), context);
  }
  clock_.Note(outcome->position);
  if (WantsCopies(ack)) {
    auto waiting = acks_->AwaitRecords(ack, {outcome->position});
    const absl::Status copied = co_await std::move(waiting);
    if (!copied.ok()) {
      co_return base::Annotate(copied, context);
    }
  }
  co_return outcome;
}

base::Task<absl::StatusOr<Appended>> RedisAppender::Append(redis::Command command, std::string what,
                                                           ShardIndex shard, RequestFields fields,
                                                           AckClass ack) {
  base::Task<absl::StatusOr<Outcome>> run =
      Run(std::move(command), std::move(what), shard, fields, ack);
  absl::StatusOr<Outcome> outcome = co_await std::move(run);
  if (!outcome.ok()) {
    co_return outcome.status();
  }
  co_return Appended{outcome->position, outcome->replayed, outcome->audience};
}

base::Task<absl::StatusOr<Appended>> RedisAppender::Edit(EditCommand command) {
  const ShardIndex shard = command.update.shard();
  std::optional<Body> body = Body::Decode(command.body);
  if (!body) {
    return Refused(base::Error(absl::StatusCode::kInternal, "the new body can't be decoded"));
  }
  const GroupId& group = body->header().group;
  std::string record = records::Edited(group, command.actor, command.update);
  return Append(
      redis::Command::Eval(scripts::Edit(),
                           {keys_.Log(shard), keys_.Update(command.update), keys_.Members(group),
                            keys_.Group(group)},
                           {clock_.Argument(shard), command.actor.value(), group.value(),
                            Number(command.expected_revision), command.body, std::move(record)}),
      "edit", shard, {.group = "update_id"}, AckClass::kStrongest);
}

base::Task<absl::StatusOr<Appended>> RedisAppender::Delete(DeleteCommand command) {
  const ShardIndex shard = command.update.shard();
  std::string record =
      records::Deleted(command.group, command.actor, command.update, command.author);
  return Append(redis::Command::Eval(
                    scripts::Delete(),
                    {keys_.Log(shard), keys_.Update(command.update), keys_.Members(command.group)},
                    {clock_.Argument(shard), command.actor.value(), command.author.value(),
                     command.group.value(), std::move(record)}),
                "delete", shard, {}, AckClass::kStrongest);
}

base::Task<absl::StatusOr<Appended>> RedisAppender::CreateGroup(CreateGroupCommand command) {
  const GroupFields& group = command.group;
  const ShardIndex shard = layout_.ShardOf(group.id);
  std::string record = records::GroupCreated(group.id, command.actor);
  return Append(
      redis::Command::Eval(
          scripts::CreateGroup(),
          {keys_.Log(shard), keys_.Once(command.actor, group.id, command.request_id),
           keys_.Group(group.id), keys_.Members(group.id), keys_.Feed(group.id),
           keys_.Groups(shard), keys_.Kept(shard)},
          {clock_.Argument(shard), once_retention_ms_, command.payload_digest,
           command.actor.value(), group.id.value(), std::move(record), group.display_name,
           group.description, Number(static_cast<uint8_t>(group.history)),
           Number(static_cast<uint8_t>(group.default_audience)),
           Number(static_cast<uint8_t>(group.post_role)),
           Number(static_cast<uint8_t>(group.add_role)),
           Number(static_cast<uint8_t>(group.joining)), Number(group.history_count),
           Number(group.closed ? 1 : 0), Number(static_cast<uint64_t>(group.retention.age.count())),
           Number(group.retention.count), Number(group.retention.bytes)}),
      "create group", shard, {.group = "group.id"}, AckClass::kUsual);
}

base::Task<absl::StatusOr<GroupUpdated>> RedisAppender::UpdateGroup(UpdateGroupCommand command) {
  const GroupId& group = command.group;
  const ShardIndex shard = layout_.ShardOf(group);
  std::vector<std::string> arguments = {clock_.Argument(shard), command.actor.value(),
                                        group.value(), records::GroupUpdated(group, command.actor)};
  auto set = [&arguments](const char* field, std::string value) {
    arguments.push_back(field);
    arguments.push_back(std::move(value));
  };
  auto choose = [&set](const char* field, const auto& value) {
    if (value) {
      set(field, Number(static_cast<uint8_t>(*value)));
    }
  };
  if (command.display_name) {
    set(group_hash::kDisplayName, *command.display_name);
  }
  if (command.description) {
    set(group_hash::kDescription, *command.description);
  }
  if (command.past) {
    set(group_hash::kHistory, Number(static_cast<uint8_t>(command.past->history)));
    set(group_hash::kHistoryCount, Number(command.past->count));
  }
  choose(group_hash::kAudience, command.default_audience);
  choose(group_hash::kPostRole, command.post_role);
  choose(group_hash::kAddRole, command.add_role);
  choose(group_hash::kJoining, command.joining);
  choose(group_hash::kClosed, command.closed);
  if (command.keep_age) {
    set(group_hash::kKeepAge, Number(static_cast<uint64_t>(command.keep_age->count())));
  }
  if (command.keep_count) {
    set(group_hash::kKeepCount, Number(*command.keep_count));
  }
  if (command.keep_bytes) {
    set(group_hash::kKeepBytes, Number(*command.keep_bytes));
  }
  redis::Command script = redis::Command::Eval(
      scripts::UpdateGroup(),
      {keys_.Log(shard), keys_.Group(group), keys_.Members(group), keys_.Kept(shard)},
      std::move(arguments));
  auto run =
      Run(std::move(script), "update group", shard, {.group = "group.id"}, AckClass::kStrongest);
  absl::StatusOr<Outcome> outcome = co_await std::move(run);
  if (!outcome.ok()) {
    co_return outcome.status();
  }
  if (!outcome->group) {
    co_return base::Error(
        absl::StatusCode::kDataLoss,
        fmt::format("changed, but key {} holds a group that can't be decoded", keys_.Group(group)));
  }
  outcome->group->fields.id = group;
  co_return GroupUpdated{outcome->position, outcome->replayed, *std::move(outcome->group)};
}

base::Task<absl::StatusOr<Appended>> RedisAppender::DeleteGroup(PersonId actor, GroupId group) {
  const ShardIndex shard = layout_.ShardOf(group);
  return Append(redis::Command::Eval(scripts::DeleteGroup(),
                                     {keys_.Log(shard), keys_.Group(group), keys_.Members(group),
                                      keys_.Feed(group), keys_.Groups(shard), keys_.Kept(shard)},
                                     {clock_.Argument(shard), actor.value(), group.value(),
                                      records::GroupDeleted(group, actor)}),
                "delete group", shard, {}, AckClass::kStrongest);
}

base::Task<absl::StatusOr<Appended>> RedisAppender::Tick(ShardIndex shard) {
  return Append(redis::Command::Eval(scripts::Tick(), {keys_.Log(shard)},
                                     {clock_.Argument(shard), records::Tick()}),
                "tick", shard, {}, AckClass::kLocal);
}

}  // namespace klatch
