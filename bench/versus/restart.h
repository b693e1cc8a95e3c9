#pragma once
// How a node comes back after SIGKILL: how fast it applies again what stands in the log behind its
// checkpoint, and how long it takes with many persons and memberships until it serves.
//
// Thread safety: one thread at a time; gRPC's threads make the calls.

#include <vector>

#include "bench/versus/figure.h"
#include "bench/versus/lab.h"

namespace klatch::versus {

// replay_per_second and restart_seconds, those that the options want.
absl::StatusOr<std::vector<Figure>> MeasureRestart(Lab& lab);

}  // namespace klatch::versus
