#pragma once
// How soon watches have shown what was posted, from the moment that a post was meant to be sent to the
// first time that it reached a person; and, of groups all of whose members are watched, to the moment
// that it reached the last of them.
//
// Thread safety: any thread.

#include <vector>

#include "bench/load/cast/player.h"
#include "bench/load/oracle/model.h"
#include "bench/load/oracle/watch_log.h"

namespace klatch::load {

// REQUIRES: the model is finished.
void MeasureWatches(const Graph& graph, const Model& model, const std::vector<WatchLog>& logs,
                    Latencies& latencies);

}  // namespace klatch::load
