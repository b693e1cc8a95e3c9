#include "services/admin/status.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "common/base/decimal.h"

namespace klatch {
namespace {

// The value of a line "name:value" of INFO; empty if there is none.
std::string_view Line(std::string_view info, std::string_view name) {
  const std::string begin = fmt::format("\n{}:", name);
  const size_t found = info.find(begin);
  if (found == std::string_view::npos) {
    return "";
  }
  const std::string_view value = info.substr(found + begin.size());
  return value.substr(0, value.find_first_of("\r\n"));
}

}  // namespace

google::protobuf::Duration DurationMessage(std::chrono::nanoseconds duration) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
  google::protobuf::Duration message;
  message.set_seconds(seconds.count());
  message.set_nanos(static_cast<int32_t>((duration - seconds).count()));
  return message;
}

v1::GetStatusResponse StatusMessage(const NodeFacts& facts, base::MonotonicTime now) {
  v1::GetStatusResponse status;
  status.set_version(facts.version);
  status.set_node_id(facts.node_id);
  *status.mutable_uptime() = DurationMessage(now - facts.loaded);
  for (const std::string& reason : facts.reasons) {
    status.add_reasons(reason);
  }
  status.set_partitions_held(facts.partitions_held);
  *status.mutable_lease_left() = DurationMessage(facts.lease_left);
  status.set_persons(facts.persons);
  status.set_groups(facts.groups);
  status.set_unflushed_entries(facts.unflushed_entries);
  status.set_unflushed_memberships(facts.unflushed_memberships);
  *status.mutable_checkpoint_lag() = DurationMessage(facts.checkpoint_lag);
  status.set_holes(facts.holes);
  *status.mutable_append_queue_age() = DurationMessage(facts.append_queue_age);
  status.set_calls(facts.calls);
  status.set_watches(facts.watches);
  status.set_watched_persons(facts.watched_persons);
  status.mutable_redis()->set_address(facts.redis_address);
  return status;
}

v1::ShardStatus ShardMessage(ShardIndex shard, Position applied, const LogFacts* facts) {
  v1::ShardStatus message;
  message.set_shard(shard.value());
  message.set_applied(applied.value());
  if (facts == nullptr) {
    return message;
  }
  message.set_end(facts->end.value());
  message.set_oldest(facts->oldest.value());
  message.set_records(facts->records);
  message.set_bytes(facts->bytes);
  // What nobody has applied yet begins where the log does.
  const Position from = std::max(applied, facts->oldest);
  const uint64_t behind_ms = facts->end > applied ? facts->end.ms() - from.ms() : 0;
  *message.mutable_lag() = DurationMessage(std::chrono::milliseconds(behind_ms));
  return message;
}

void ReadServerInfo(std::string_view info, v1::RedisStatus& redis) {
  redis.set_version(std::string(Line(info, "redis_version")));
  redis.set_memory_used(base::ParseDecimal(Line(info, "used_memory")).value_or(0));
  redis.set_memory_max(base::ParseDecimal(Line(info, "maxmemory")).value_or(0));
}

}  // namespace klatch
