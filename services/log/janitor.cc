#include "services/log/janitor.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/failpoint.h"
#include "services/log/log_end.h"
#include "services/log/redis_time.h"

namespace klatch {
namespace {

// A position before which everything is older than `unix_ms`.
Position At(int64_t unix_ms, ShardIndex shard) {
  return unix_ms <= kEpochUnixMs
             ? Position()
             : Position(static_cast<uint64_t>(unix_ms - kEpochUnixMs), shard, 0);
}

// Removes what is before `position`, as far as Redis can drop whole blocks of records.
redis::Command Trim(std::string stream, Position position) {
  return redis::Command{"XTRIM", std::move(stream), "MINID", "~", position.ToStreamId()};
}

}  // namespace

Janitor::Janitor(const Layout& layout, const Options& options,
                 std::unique_ptr<redis::Connection> redis, const base::Clock& clock)
    : layout_(layout),
      keys_(layout),
      options_(options),
      redis_(std::move(redis)),
      clock_(clock),
      thread_("janitor", options_.pause, [this] { DoWork(); }) {}

void Janitor::DoWork() {
  absl::Status status = redis_->connected() ? absl::OkStatus() : redis_->Reconnect();
  if (status.ok()) {
    status = TrimAll();
  }
  if (status.ok()) {
    return;
  }
  if (const auto suppressed = error_lines_.Admit(clock_.Monotonic())) {
    obs::Log(obs::Level::kWarn, "janitor", "can't trim the logs; trying again",
             {{"error", base::MessageOf(status)}, {"suppressed", *suppressed}});
  }
}

absl::Status Janitor::TrimAll() {
  // The checkpoints first: they only move on, and so does the log's end.
  KLATCH_ASSIGN_OR_RETURN(const std::vector<Position> passed, ReadPassed());
  KLATCH_ASSIGN_OR_RETURN(const std::vector<ShardFacts> shards, ReadShards());
  KLATCH_ASSIGN_OR_RETURN(const int64_t now_ms, ReadRedisUnixMs(*redis_));
  std::vector<redis::Command> commands;
  int64_t bytes = 0;
  for (uint32_t i = 0; i < layout_.shard_count; ++i) {
    const ShardIndex shard(i);
    bytes += shards[i].bytes;
    // Whoever resumes a watch, or reads the log for another purpose, finds its newest record.
    Position keep = std::min(passed[i], shards[i].last);
    if (shards[i].bytes <= options_.shard_bytes_max) {
      keep = std::min(keep, At(now_ms - options_.kept.count(), shard));
    }
    if (!keep.is_zero()) {
      commands.push_back(Trim(keys_.Log(shard), keep));
    }
  }
  bytes_.store(static_cast<uint64_t>(bytes), std::memory_order_relaxed);
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> replies, redis_->CallAll(commands));
  for (size_t i = 0; i < replies.size(); ++i) {
    KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(replies[i].view()), commands[i].args[1]));
    trimmed_.fetch_add(static_cast<uint64_t>(replies[i].view().integer()),
                       std::memory_order_relaxed);
  }
  KLATCH_FAILPOINT("log-trimmed");
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Position>> Janitor::ReadPassed() {
  std::vector<redis::Command> commands;
  for (uint32_t i = 0; i < layout_.partition_count; ++i) {
    commands.push_back(redis::Command{"GET", keys_.Checkpoint(PartitionIndex(i))});
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> replies, redis_->CallAll(commands));
  std::vector<Position> passed(layout_.shard_count);
  for (size_t i = 0; i < replies.size(); ++i) {
    KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(replies[i].view()), commands[i].args[1]));
    const std::string_view checkpoint = replies[i].text();
    if (checkpoint.size() != layout_.shard_count * sizeof(uint64_t)) {
      // A partition that nothing was written for yet: its owner would replay everything.
      return std::vector<Position>(layout_.shard_count);
    }
    for (uint32_t shard = 0; shard < layout_.shard_count; ++shard) {
      const Position position(
          base::LoadLittleEndian<uint64_t>(checkpoint, shard * sizeof(uint64_t)));
      passed[shard] = i == 0 ? position : std::min(passed[shard], position);
    }
  }
  return passed;
}

absl::StatusOr<std::vector<Janitor::ShardFacts>> Janitor::ReadShards() {
  std::vector<redis::Command> commands;
  for (uint32_t i = 0; i < layout_.shard_count; ++i) {
    const std::string stream = keys_.Log(ShardIndex(i));
    commands.push_back(LogEnd::Question(stream));
    commands.push_back(redis::Command{"MEMORY", "USAGE", stream});
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> replies, redis_->CallAll(commands));
  std::vector<ShardFacts> shards(layout_.shard_count);
  for (uint32_t i = 0; i < layout_.shard_count; ++i) {
    const redis::ReplyView end = replies[2 * i].view();
    const redis::ReplyView usage = replies[2 * i + 1].view();
    const std::string stream = keys_.Log(ShardIndex(i));
    KLATCH_ASSIGN_OR_RETURN(shards[i].last, LogEnd::Decode(end, ShardIndex(i), stream));
    KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(usage), stream));
    shards[i].bytes = usage.is_integer() ? usage.integer() : 0;
  }
  return shards;
}

}  // namespace klatch
