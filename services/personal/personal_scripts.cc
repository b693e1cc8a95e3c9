#include "services/personal/personal_scripts.h"

#include <fmt/format.h>

#include <cstdint>
#include <limits>
#include <utility>

#include "common/base/decimal.h"
#include "services/log/outcome.h"
#include "services/model/limits.h"

namespace klatch::personal {
namespace {

constexpr char kBlocked = '>';
constexpr char kBlockedBy = '<';
constexpr char kPerson = 'p';
constexpr char kGroup = 'g';
constexpr size_t kMarkerDigits = 20;
constexpr char kWithoutMemory[] = "1";

// Before every script: KEYS[1] is the lease, ARGV[1] the nonce, ARGV[2] the fence. `named` makes of
// what Redis refuses an answer that names the key; that it is a replica now stays an error, because
// the connection looks for that to look for the master anew. `guarded` compares nonce and fence
// first.
constexpr std::string_view kPrelude = R"lua(
local touched = KEYS[1]
local function at(command, key, ...)
  touched = key
  return redis.call(command, key, ...)
end
local function named(action)
  local ok, result = pcall(action)
  if ok then
    return result
  end
  local message = type(result) == 'table' and result.err or tostring(result)
  if string.sub(message, 1, 8) == 'READONLY' then
    error({err = message})
  end
  return {'REDIS', message, touched}
end
local function guarded(action)
  return named(function()
    local held = at('HMGET', KEYS[1], 'nonce', 'personal_fence')
    if held[1] ~= ARGV[1] then
      return {'LOST'}
    end
    if held[2] ~= ARGV[2] then
      return {'FENCED'}
    end
    return action()
  end)
end
)lua";

redis::Script WithPrelude(std::string name, std::string_view source) {
  return redis::Script(std::move(name), std::string(kPrelude) + std::string(source));
}

// KEYS: lease, personal, the set to change, blocks, mutes, hidden. ARGV: nonce, fence, '1' if it
// may run without free memory, the person, how many members are added, these, then those removed.
//
// Redis looks for free memory at the first write of a script only, and PERSIST needs none.
const redis::Script& ChangeSetScript() {
  static const redis::Script script = WithPrelude("personal_set", R"lua(
return guarded(function()
  for i = 2, 6 do
    at('SISMEMBER', KEYS[i], '')
  end
  if ARGV[3] == '1' then
    at('PERSIST', KEYS[1])
  end
  local first_removed = 6 + tonumber(ARGV[5])
  if first_removed > 6 then
    at('SADD', KEYS[3], unpack(ARGV, 6, first_removed - 1))
    at('SADD', KEYS[2], ARGV[4])
  end
  if first_removed <= #ARGV then
    at('SREM', KEYS[3], unpack(ARGV, first_removed))
    if redis.call('EXISTS', KEYS[4], KEYS[5], KEYS[6]) == 0 then
      at('SREM', KEYS[2], ARGV[4])
    end
  end
  return {'OK'}
end)
)lua");
  return script;
}

// KEYS: lease, the person's hash. ARGV: nonce, fence, field, value or nothing.
const redis::Script& SetFieldScript() {
  static const redis::Script script = WithPrelude("personal_field", R"lua(
return guarded(function()
  at('HGET', KEYS[2], ARGV[3])
  if ARGV[4] == '' then
    at('HDEL', KEYS[2], ARGV[3])
  else
    at('HSET', KEYS[2], ARGV[3], ARGV[4])
  end
  return {'OK'}
end)
)lua");
  return script;
}

// KEYS: lease, the person's hash. ARGV: nonce, fence, field, marker, how many fields there may be.
// Markers have as many digits each, so they compare as strings.
const redis::Script& RaiseMarkerScript() {
  static const redis::Script script = WithPrelude("personal_marker", R"lua(
return guarded(function()
  local stored = at('HGET', KEYS[2], ARGV[3])
  if stored and not string.match(stored, '^%d+$') then
    error({err = 'CORRUPT holds no marker in field ' .. ARGV[3]})
  end
  if stored and stored >= ARGV[4] then
    return {'OK', stored}
  end
  if not stored and at('HLEN', KEYS[2]) >= tonumber(ARGV[5]) then
    return {'FULL'}
  end
  at('HSET', KEYS[2], ARGV[3], ARGV[4])
  return {'OK', ARGV[4]}
end)
)lua");
  return script;
}

// KEYS: lease. ARGV: nonce, the fence to set.
const redis::Script& FenceScript() {
  static const redis::Script script = WithPrelude("personal_fence", R"lua(
return named(function()
  if at('HGET', KEYS[1], 'nonce') ~= ARGV[1] then
    return {'LOST'}
  end
  at('PERSIST', KEYS[1])
  at('HSET', KEYS[1], 'personal_fence', ARGV[2])
  return {'OK'}
end)
)lua");
  return script;
}

}  // namespace

std::string BlockedMember(const PersonId& person) { return kBlocked + person.value(); }
std::string BlockedByMember(const PersonId& person) { return kBlockedBy + person.value(); }
std::string MutedMember(const PersonId& person) { return kPerson + person.value(); }
std::string MutedMember(const GroupId& group) { return kGroup + group.value(); }
std::string HiddenMember(UpdateId update) { return std::to_string(update.value()); }

bool RestoreMember(SetKey key, std::string_view member, PersonalState& state) {
  if (member.empty()) {
    return false;
  }
  if (key == SetKey::kHidden) {
    const auto id = base::ParseDecimal(member);
    if (id) {
      state.hidden.emplace_back(*id);
    }
    return id.has_value();
  }
  const std::string_view id = member.substr(1);
  switch (member.front()) {
    case kBlocked:
      state.blocks.Add(id);
      return key == SetKey::kBlocks;
    case kBlockedBy:
      state.blocked_by.Add(id);
      return key == SetKey::kBlocks;
    case kPerson:
      state.muted_persons.Add(id);
      return key == SetKey::kMutes;
    case kGroup:
      state.muted_groups.Add(id);
      return key == SetKey::kMutes;
    default:
      return false;
  }
}

std::string KeyOf(const Keys& keys, SetKey key, const PersonId& person) {
  switch (key) {
    case SetKey::kBlocks:
      return keys.Blocks(person);
    case SetKey::kMutes:
      return keys.Mutes(person);
    case SetKey::kHidden:
      break;
  }
  return keys.Hidden(person);
}

std::string MarkerField(const GroupId& group) {
  return group.empty() ? "read" : "read:" + group.value();
}

std::string EncodeMarker(UpdateId marker) {
  return fmt::format("{:0{}}", marker.value(), kMarkerDigits);
}

std::optional<UpdateId> DecodeMarker(std::string_view text) {
  const auto value = base::ParseDecimal(text);
  return value ? std::optional(UpdateId(*value)) : std::nullopt;
}

redis::Command CommandOf(const ScriptCall& call, const std::string& nonce,
                         const std::string& fence) {
  std::vector<std::string> arguments = {nonce, fence};
  arguments.insert(arguments.end(), call.arguments.begin(), call.arguments.end());
  return redis::Command::Eval(*call.script, call.keys, std::move(arguments));
}

redis::Command SetFence(const std::string& lease_key, const std::string& nonce,
                        const std::string& fence) {
  return redis::Command::Eval(FenceScript(), {lease_key}, {nonce, fence});
}

ScriptCall ChangeSet(const Keys& keys, PartitionIndex partition, const PersonId& person,
                     const SetChange& change) {
  ScriptCall call{&ChangeSetScript(),
                  {keys.Lease(partition), keys.Personal(partition), KeyOf(keys, change.key, person),
                   keys.Blocks(person), keys.Mutes(person), keys.Hidden(person)},
                  {change.without_memory ? kWithoutMemory : "", person.value(),
                   std::to_string(change.added.size())}};
  call.arguments.insert(call.arguments.end(), change.added.begin(), change.added.end());
  call.arguments.insert(call.arguments.end(), change.removed.begin(), change.removed.end());
  return call;
}

ScriptCall SetProfile(const Keys& keys, PartitionIndex partition, const PersonId& person,
                      std::string profile) {
  return {&SetFieldScript(),
          {keys.Lease(partition), keys.PersonHash(person)},
          {kProfileField, std::move(profile)}};
}

ScriptCall RaiseMarker(const Keys& keys, PartitionIndex partition, const PersonId& person,
                       const GroupId& group, UpdateId marker) {
  // The profile and the marker of home are two fields more, and always have room.
  const size_t fields_max =
      group.empty() ? std::numeric_limits<uint32_t>::max() : limits::kReadMarkersMax + 2;
  return {&RaiseMarkerScript(),
          {keys.Lease(partition), keys.PersonHash(person)},
          {MarkerField(group), EncodeMarker(marker), std::to_string(fields_max)}};
}

absl::StatusOr<Verdict> ReadVerdict(redis::ReplyView reply) {
  const std::string_view answer = reply[0].text();
  if (answer == "OK") {
    return Verdict::kDone;
  }
  if (answer == "FULL") {
    return Verdict::kFull;
  }
  if (answer == "LOST") {
    return Verdict::kLost;
  }
  if (answer == "FENCED") {
    return Verdict::kFenced;
  }
  if (answer == "REDIS") {
    return RedisRefusal(reply[1].text(), reply[2].text());
  }
  if (reply.is_error()) {
    return RedisRefusal(reply.text(), "");
  }
  return base::Error(absl::StatusCode::kInternal, "a script gave an answer of unknown shape");
}

}  // namespace klatch::personal
