#pragma once
// What is written of an update that is posted or imported: by the script, or by plain commands.
//
// Thread safety: any thread.

#include <chrono>
#include <span>
#include <string>

#include "common/redis/command.h"
#include "services/log/appender.h"
#include "services/log/log_clock.h"
#include "services/model/keys.h"
#include "services/model/layout.h"

namespace klatch {

// How an update comes: posted now, or brought by the app from its past.
enum class UpdateOrigin { kPost, kImport };

class PublishWords {
 public:
  // `clock` outlives this.
  PublishWords(const Layout& layout, const LogClock& clock,
               std::chrono::milliseconds body_retention, std::chrono::milliseconds once_retention);

  const LogClock& clock() const { return clock_; }
  const Keys& keys() const { return keys_; }
  ShardIndex ShardOf(const GroupId& group) const { return layout_.ShardOf(group); }

  std::string OnceKey(UpdateOrigin origin, const PublishCommand& command) const;
  // How long that key is kept: what was imported must not be again as long as it would be there.
  const std::string& OnceMs(UpdateOrigin origin) const;
  std::string Record(UpdateOrigin origin, const PublishCommand& command) const;
  // What scripts answer in place of publishing, unless it was published before; empty if all is well.
  static std::string RefusalFor(BadReference reference, BadExpiry expiry);
  // A time as scripts take it: milliseconds since 2024; empty for never.
  static std::string ScriptTime(int64_t unix_ms);
  // How long a body is kept that is stored at that time, in milliseconds since 2024.
  std::string BodyMs(const PublishCommand& command, int64_t now_ms) const;

  // The script for updates of one shard, at least one.
  redis::Command Script(UpdateOrigin origin, std::span<const PublishCommand* const> commands) const;

 private:
  const Layout layout_;
  const LogClock& clock_;
  const Keys keys_;
  const std::chrono::milliseconds body_retention_;
  const std::string body_ms_;
  const std::string once_ms_;
};

}  // namespace klatch
