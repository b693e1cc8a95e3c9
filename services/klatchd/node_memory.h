#pragma once
// What a process keeps from one node to the next: a node is taken apart and another one started when Redis
// was restarted, or another Redis is the master.
//
// Thread safety: one node at a time; as its members say.

#include <atomic>

#include "services/log/log_trail.h"
#include "services/model/layout.h"
#include "services/persons/others_leases.h"

namespace klatch {

struct NodeMemory {
  explicit NodeMemory(const Layout& layout)
      : trail(layout.shard_count), others_leases(layout.partition_count) {}

  LogTrail trail;  // what has been read
  OthersLeases others_leases;
  std::atomic<bool> has_seen_replicas{false};
};

}  // namespace klatch
