#pragma once
// What a process keeps from one node to the next: a node is taken apart and another one started when Redis
// was restarted, or another Redis is the master.
//
// Thread safety: one node at a time; as its members say.

#include <atomic>
#include <cstdint>

#include "services/log/log_trail.h"

namespace klatch {

struct NodeMemory {
  explicit NodeMemory(uint32_t shard_count) : trail(shard_count) {}

  LogTrail trail;  // what has been read
  std::atomic<bool> has_seen_replicas{false};
};

}  // namespace klatch
