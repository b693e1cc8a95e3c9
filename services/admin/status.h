#pragma once
// How a node is, as a message: of what it knows itself, what its logs say and what Redis says.
//
// Thread safety: functions without state.

#include <chrono>
#include <string_view>
#include <vector>

#include "google/protobuf/duration.pb.h"
#include "klatch/v1/admin_service.pb.h"
#include "services/admin/log_pages.h"
#include "services/admin/node_view.h"

namespace klatch {

google::protobuf::Duration DurationMessage(std::chrono::nanoseconds duration);

// The figures of the node itself.
v1::GetStatusResponse StatusMessage(const NodeFacts& facts, base::MonotonicTime now);

// One shard; `facts` is null if Redis did not answer.
v1::ShardStatus ShardMessage(ShardIndex shard, Position applied, const LogFacts* facts);

// Version and memory, from what INFO answers.
void ReadServerInfo(std::string_view info, v1::RedisStatus& redis);

}  // namespace klatch
