#pragma once
// Waits until everything that was written is applied, and until the node has nothing left that is
// not in Redis.

#include <chrono>
#include <string>

#include "bench/load/calls/client.h"
#include "bench/load/calls/run_state.h"
#include "common/base/status.h"

namespace klatch::load {

// Reads with the tokens of all writes. DEADLINE_EXCEEDED, UNAVAILABLE: the last answer, if
// `timeout` passed.
absl::Status WaitApplied(Client& client, const std::string& reader, RunState& state,
                         std::chrono::milliseconds timeout);

// Asks `metrics` (host:port) until klatch_unflushed_entries and klatch_unflushed_memberships are 0.
// DEADLINE_EXCEEDED: `timeout` passed, with what was left. UNAVAILABLE: nobody answers, or the
// metric isn't there.
absl::Status WaitFlushed(const std::string& metrics, RunState& state,
                         std::chrono::milliseconds timeout);

}  // namespace klatch::load
