#pragma once
// Live push against nats-server: an audience of 1,000 and updates of 100 bytes, over one stream of a
// gateway and over a connection for each watcher.
//
// Both sides over TCP on loopback; posts are held back so that no watcher falls behind: at most
// kUpdatesAhead of them have not reached everybody. Klatch's posts are published as always: over gRPC,
// through the append-only Redis.
//
// Thread safety: one thread at a time.

#include <vector>

#include "bench/versus/figure.h"
#include "bench/versus/lab.h"

namespace klatch::versus {

// live_gateway_ratio and live_streams_ratio, those that the options want.
absl::StatusOr<std::vector<Figure>> MeasureLive(Lab& lab);

}  // namespace klatch::versus
