// The part of RedisAppender that makes a group's members those of a list.
#include <fmt/format.h>

#include <algorithm>

#include "services/log/records.h"
#include "services/log/redis_appender.h"
#include "services/log/scripts.h"

namespace klatch {
namespace {

constexpr RequestFields kFields{.persons = "members"};

// With leading zeros, so that scripts compare versions as text: their numbers are doubles.
std::string Digits(uint64_t version) { return fmt::format("{:020}", version); }

// Nothing if it is no letter of sync_members.lua.
std::optional<MemberOutcome> DecodeOutcome(char letter) {
  switch (letter) {
    case '-':
      return MemberOutcome::kNothing;
    case 'j':
      return MemberOutcome::kJoined;
    case 'r':
      return MemberOutcome::kRoleChanged;
    case 'l':
      return MemberOutcome::kLeft;
    default:
      return std::nullopt;
  }
}

}  // namespace

base::Task<absl::StatusOr<Appended>> RedisAppender::BeginSync(MembersList list) {
  const ShardIndex shard = layout_.ShardOf(list.group);
  return Append(
      redis::Command::Eval(
          scripts::BeginSync(), {keys_.Log(shard), keys_.Group(list.group)},
          {clock_.Argument(shard), Digits(list.version), list.payload_digest, list.claim}),
      "begin to sync members", shard, kFields, AckClass::kLocal);
}

base::Task<absl::StatusOr<MembersSynced>> RedisAppender::SyncMembers(
    MembersList list, std::vector<PersonRole> members) {
  const ShardIndex shard = layout_.ShardOf(list.group);
  std::string roles;
  for (const PersonRole& member : members) {
    roles.push_back(static_cast<char>(member.role));
  }
  std::vector<std::string> arguments = {
      clock_.Argument(shard),           Digits(list.version),
      list.payload_digest + list.claim, records::WithoutEvent(list.group, PersonId()),
      keys_.CarryPrefix(list.group),    std::move(roles)};
  for (const PersonRole& member : members) {
    arguments.push_back(member.person.value());
  }
  redis::Command script = redis::Command::Eval(scripts::SyncMembers(),
                                               {keys_.Log(shard), keys_.Group(list.group),
                                                keys_.Members(list.group), keys_.Feed(list.group)},
                                               std::move(arguments));
  auto run = Run(std::move(script), "sync members", shard, kFields, AckClass::kStrongest);
  const absl::StatusOr<Outcome> outcome = co_await std::move(run);
  if (!outcome.ok()) {
    co_return outcome.status();
  }
  MembersSynced synced{outcome->position, {}};
  for (const char letter : outcome->changes) {
    if (const std::optional<MemberOutcome> decoded = DecodeOutcome(letter)) {
      synced.outcomes.push_back(*decoded);
    }
  }
  if (synced.outcomes.size() != members.size()) {
    co_return base::Error(absl::StatusCode::kInternal, "a script gave an answer of unknown shape");
  }
  co_return synced;
}

}  // namespace klatch
