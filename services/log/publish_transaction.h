#pragma once
// Puts updates into the log by plain commands, for a fifth of what the script costs Redis
// (docs/PERFORMANCE.md). What the script checks first is looked at behind a WATCH of the logs:
//
//   WATCH logs, the logs' ends, each group, member, feed and once key ─▶ all well? ─▶
//   MULTI, XADD, the body, the once key, the feed, … EXEC
//
// Whatever else changes a group, its members or its feed appends to the same log, and EXEC does nothing
// then: so what was read is still so when EXEC writes. It takes an update only if the script would publish it without
// further ado. All others are left to the script, which alone knows refusals, repetitions, feeds that grow and keys
// that hold something else; so is all that goes into the same log, whose order stays.
// (One transaction takes several shards. On a cluster it could not.)
//
// Thread safety: one thread at a time.
// Order: the updates of a log get positions in the order in which they were added.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "common/redis/command.h"
#include "common/redis/reply.h"
#include "services/log/appender.h"
#include "services/log/publish_words.h"

namespace klatch {

class PublishTransaction {
 public:
  // `words` outlives this.
  explicit PublishTransaction(const PublishWords& words) : words_(words) {}

  // `command` outlives this.
  void Add(UpdateOrigin origin, const PublishCommand& command);

  // What is asked before.
  void AppendQuestions(std::vector<redis::Command>& commands);
  // Reads as many answers; from then on it is known what it takes.
  void Plan(std::span<const redis::Reply> answers);

  // Whether it takes the update that was added as the i-th; else nothing of it will be written.
  bool takes(size_t i) const { return logs_[groups_[posts_[i].group].log].is_open; }
  bool empty() const;

  // MULTI … EXEC. REQUIRES: not empty.
  void AppendWrites(std::vector<redis::Command>& commands);
  // Reads as many answers. False if nothing at all was written.
  bool Read(std::span<const redis::Reply> answers);
  // What became of the i-th. REQUIRES: taken, and Read was true.
  absl::StatusOr<Appended> ResultOf(size_t i) const;

 private:
  struct Log {
    ShardIndex shard;
    Position last{};
    bool is_open = false;  // to the updates that were added
  };
  struct Group {
    const GroupId* id;
    size_t log;
    uint64_t count = 0;  // of the updates that its feed has taken
    AudienceRule audience = AudienceRule::kGroupDefault;
    uint8_t post_role = 0;
    bool is_open = false;  // to posts
    bool is_sound = false;
  };
  struct Post {
    UpdateOrigin origin;
    const PublishCommand* command;
    size_t group;
    std::string once;
    Position position{};
    uint64_t feed_offset = 0;  // in bytes
    AudienceRule audience = AudienceRule::kGroupDefault;
    absl::Status status{};
  };

  size_t LogOf(ShardIndex shard);
  size_t GroupOf(const GroupId& id);
  void PlanGroup(Group& group, redis::ReplyView facts, redis::ReplyView feed_bytes) const;
  // Whether the script would publish it and change nothing else.
  bool IsPlain(const Post& post, const Group& group, redis::ReplyView stay) const;
  // The next position of a log; nothing if there is none in this millisecond.
  std::optional<Position> Next(const Log& log) const;

  const PublishWords& words_;
  std::vector<Log> logs_;
  std::vector<Group> groups_;
  std::vector<Post> posts_;
  std::unordered_map<uint32_t, size_t> log_places_;
  std::unordered_map<std::string_view, size_t> group_places_;
  std::unordered_set<std::string_view> once_keys_;
  int64_t now_ms_ = 0;  // since 2024, by Redis
};

}  // namespace klatch
