#pragma once
// A klatchd's life: wait for Redis, start the node, serve, and on SIGTERM or SIGINT drain and end.
//
//   starting ──▶ serving ──▶ draining ──▶ 0
//      │ ▲          ├─ a log that can't be followed ──▶ draining ──▶ 2
//      │ │          └─ lost its lease ──▶ 1
//      └─┘ Redis went away: again
//
// Thread safety: called once, by main, with SIGTERM and SIGINT blocked in every thread.

#include "services/klatchd/options.h"

namespace klatch {

// The process's exit code: 0 drained; 1 not drained in time or lost its lease; 2 Redis, what it
// holds or the configuration can't be served; 3 redis-server is missing; 4 a server can't be
// reached or listened on.
int RunToCompletion(const KlatchdOptions& options);

}  // namespace klatch
