#pragma once
// Makes the graph real: creates the groups and adds their members through several connections at
// once. Groups that exist already (a repeated run on the same data) are taken over: who is missing
// is added, members that the graph doesn't know of stay, and what was posted before is told apart
// by position. A new group opens its past to joiners if the plan says so; of one that was there its
// own policy holds, and is put down in `state`.
//
// Errors: the first call that was refused or stayed undecided, naming the group. CANCELLED if
// interrupted.

#include <atomic>
#include <string>

#include "bench/load/calls/client.h"
#include "bench/load/calls/run_state.h"
#include "bench/load/oracle/model.h"
#include "bench/load/plan/plan.h"
#include "common/base/status.h"

namespace klatch::load {

struct SetupOptions {
  Client::Options client;
  uint32_t connections = 4;
};

// Adds who joined, at which position, to `model`, and where each shard's log stood before the first
// post. `groups_ready` counts for progress.
absl::Status SetUpGroups(const Graph& graph, const Plan& plan, const SetupOptions& options,
                         RunState& state, Model& model, std::atomic<uint64_t>& groups_ready);

}  // namespace klatch::load
