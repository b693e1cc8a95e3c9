#include "services/log/publish_words.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "services/log/records.h"
#include "services/log/scripts.h"

namespace klatch {

PublishWords::PublishWords(const Layout& layout, const LogClock& clock,
                           std::chrono::milliseconds body_retention,
                           std::chrono::milliseconds once_retention)
    : layout_(layout),
      clock_(clock),
      keys_(layout),
      body_retention_(body_retention),
      body_ms_(std::to_string(body_retention.count())),
      once_ms_(std::to_string(once_retention.count())) {}

std::string PublishWords::OnceKey(UpdateOrigin origin, const PublishCommand& command) const {
  return origin == UpdateOrigin::kImport
             ? keys_.Imported(command.actor, command.group, command.request_id)
             : keys_.Once(command.actor, command.group, command.request_id);
}

const std::string& PublishWords::OnceMs(UpdateOrigin origin) const {
  return origin == UpdateOrigin::kImport ? body_ms_ : once_ms_;
}

std::string PublishWords::Record(UpdateOrigin origin, const PublishCommand& command) const {
  return origin == UpdateOrigin::kImport ? records::Imported(command.group, command.actor)
                                         : records::Published(command.group, command.actor);
}

std::string PublishWords::ScriptTime(int64_t unix_ms) {
  return unix_ms == kNeverUnixMs ? std::string() : std::to_string(unix_ms - kEpochUnixMs);
}

std::string PublishWords::RefusalFor(BadReference reference, BadExpiry expiry) {
  switch (expiry) {
    case BadExpiry::kTooNear:
      return "EXPIRES_TOO_SOON";
    case BadExpiry::kTooFar:
      return "EXPIRES_TOO_LATE";
    case BadExpiry::kNone:
      break;
  }
  switch (reference) {
    case BadReference::kReplyTo:
      return "BAD_REPLY";
    case BadReference::kReshareOf:
      return "BAD_RESHARE";
    case BadReference::kNone:
      break;
  }
  return "";
}

std::string PublishWords::BodyMs(const PublishCommand& command, int64_t now_ms) const {
  if (command.expire_unix_ms == kNeverUnixMs) {
    return body_ms_;
  }
  const int64_t left = command.expire_unix_ms - kEpochUnixMs - now_ms;
  return std::to_string(std::clamp<int64_t>(left, 1, body_retention_.count()));
}

redis::Command PublishWords::Script(UpdateOrigin origin,
                                    std::span<const PublishCommand* const> commands) const {
  const ShardIndex shard = ShardOf(commands[0]->group);
  std::vector<std::string> keys = {keys_.Log(shard)};
  keys.reserve(1 + 4 * commands.size());
  std::vector<std::string> arguments = {clock_.Argument(shard), body_ms_, OnceMs(origin),
                                        keys_.UpdatePrefix(shard)};
  arguments.reserve(4 + 6 * commands.size());
  for (const PublishCommand* command : commands) {
    keys.push_back(OnceKey(origin, *command));
    keys.push_back(keys_.Group(command->group));
    keys.push_back(keys_.Members(command->group));
    keys.push_back(keys_.Feed(command->group));
    arguments.push_back(command->actor.value());
    arguments.push_back(command->payload_digest);
    arguments.push_back(command->body);
    arguments.push_back(Record(origin, *command));
    arguments.push_back(RefusalFor(command->bad_reference, command->bad_expiry));
    arguments.push_back(ScriptTime(command->expire_unix_ms));
  }
  return redis::Command::Eval(
      origin == UpdateOrigin::kImport ? scripts::Import() : scripts::Publish(), std::move(keys),
      std::move(arguments));
}

}  // namespace klatch
