// The part of RedisAppender that changes who is a member, and what their number decides.
#include "services/log/records.h"
#include "services/log/redis_appender.h"
#include "services/log/scripts.h"

namespace klatch {

base::Task<absl::StatusOr<MembersAppended>> RedisAppender::ChangeMembers(redis::Command command,
                                                                         std::string what,
                                                                         ShardIndex shard,
                                                                         RequestFields fields,
                                                                         AckClass ack) {
  base::Task<absl::StatusOr<Outcome>> run =
      Run(std::move(command), std::move(what), shard, fields, ack);
  absl::StatusOr<Outcome> outcome = co_await std::move(run);
  if (!outcome.ok()) {
    co_return outcome.status();
  }
  co_return MembersAppended{outcome->position, outcome->changed, outcome->unchanged,
                            outcome->replayed};
}

base::Task<absl::StatusOr<MembersAppended>> RedisAppender::AddMembers(AddMembersCommand command) {
  const ShardIndex shard = layout_.ShardOf(command.group);
  std::string roles;
  std::vector<std::string> arguments = {clock_.Argument(shard), once_retention_ms_,
                                        command.payload_digest, command.actor.value(),
                                        records::WithoutEvent(command.group, command.actor)};
  for (const PersonRole& member : command.members) {
    roles.push_back(static_cast<char>(member.role));
  }
  arguments.push_back(std::move(roles));
  for (const PersonRole& member : command.members) {
    arguments.push_back(member.person.value());
  }
  for (const PersonRole& member : command.members) {
    arguments.push_back(records::JoinedPiece(member));
  }
  arguments.push_back(keys_.CarryPrefix(command.group));
  return ChangeMembers(
      redis::Command::Eval(
          scripts::AddMembers(),
          {keys_.Log(shard),
           keys_.Once(command.actor, command.group, command.request_id, command.chunk),
           keys_.Group(command.group), keys_.Members(command.group), keys_.Feed(command.group)},
          std::move(arguments)),
      "add members", shard, {.persons = "members"}, AckClass::kUsual);
}

base::Task<absl::StatusOr<MembersAppended>> RedisAppender::RemoveMembers(
    RemoveMembersCommand command) {
  const ShardIndex shard = layout_.ShardOf(command.group);
  std::vector<std::string> arguments = {clock_.Argument(shard),
                                        once_retention_ms_,
                                        command.payload_digest,
                                        command.actor.value(),
                                        records::WithoutEvent(command.group, command.actor),
                                        std::to_string(command.persons.size())};
  for (const PersonId& person : command.persons) {
    arguments.push_back(person.value());
  }
  for (const PersonId& person : command.persons) {
    arguments.push_back(records::LeftPiece(person));
  }
  return ChangeMembers(
      redis::Command::Eval(
          scripts::RemoveMembers(),
          {keys_.Log(shard),
           keys_.Once(command.actor, command.group, command.request_id, command.chunk),
           keys_.Group(command.group), keys_.Members(command.group)},
          std::move(arguments)),
      "remove members", shard, {}, AckClass::kStrongest);
}

base::Task<absl::StatusOr<MemberUpdated>> RedisAppender::UpdateMember(PersonId actor, GroupId group,
                                                                      PersonRole member) {
  const ShardIndex shard = layout_.ShardOf(group);
  redis::Command script = redis::Command::Eval(
      scripts::UpdateMember(), {keys_.Log(shard), keys_.Group(group), keys_.Members(group)},
      {clock_.Argument(shard), actor.value(), member.person.value(),
       std::to_string(static_cast<uint8_t>(member.role)),
       records::RoleChanged(group, actor, member)});
  auto run = Run(std::move(script), "update member", shard, {.persons = "member.role"},
                 AckClass::kStrongest);
  const absl::StatusOr<Outcome> outcome = co_await std::move(run);
  if (!outcome.ok()) {
    co_return outcome.status();
  }
  co_return MemberUpdated{outcome->position, outcome->replayed, outcome->stay};
}

base::Task<absl::StatusOr<DeliveryDecided>> RedisAppender::DecideDelivery(
    GroupId group, PullThresholds thresholds) {
  const ShardIndex shard = layout_.ShardOf(group);
  redis::Command script = redis::Command::Eval(
      scripts::Delivery(), {keys_.Log(shard), keys_.Group(group), keys_.Pulled(shard)},
      {clock_.Argument(shard), group.value(), std::to_string(thresholds.above),
       std::to_string(thresholds.Least()), records::DeliverySwitched(group, true),
       records::DeliverySwitched(group, false)});
  auto run = Run(std::move(script), "decide delivery", shard, {}, AckClass::kLocal);
  const absl::StatusOr<Outcome> outcome = co_await std::move(run);
  if (!outcome.ok()) {
    co_return outcome.status();
  }
  co_return DeliveryDecided{outcome->position, !outcome->replayed, outcome->delivery};
}

}  // namespace klatch
