#pragma once
// What INFO and CONFIG GET say, as far as Klatch looks at it. Plain functions over texts of Redis.

#include <cstdint>
#include <string_view>
#include <unordered_map>

#include "common/redis/reply.h"

namespace klatch::redis {

// The views look into `text`. Lines are "name:value", sections "# Name".
using Info = std::unordered_map<std::string_view, std::string_view>;
Info ParseInfo(std::string_view text);

// Empty if it is not there.
std::string_view InfoText(const Info& info, std::string_view name);
// The number that the value begins with; 0 if it begins with none.
int64_t InfoNumber(std::string_view value);

// Of INFO's section "replication".
struct Replication {
  bool is_master = false;
  // Replicas that follow: online, and heard from within `kReplicaLagMaxSeconds`.
  uint32_t in_sync = 0;
};
// Redis asks replicas for news every second, and by default (min-replicas-max-lag) counts those out
// that gave none for as long.
inline constexpr int64_t kReplicaLagMaxSeconds = 10;
Replication ReadReplication(std::string_view info);

// A parameter in an answer to CONFIG GET; empty if it is not there.
std::string_view ConfigText(ReplyView config, std::string_view name);

}  // namespace klatch::redis
