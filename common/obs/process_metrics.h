#pragma once
// What Prometheus's own clients say of the process that they run in, by the same names: CPU time,
// memory, threads, open files and the start.
//
// Thread safety: as MetricsRegistry. Each scrape reads /proc once per metric; a value that can't be
// read is 0.

#include "common/obs/metrics.h"

namespace klatch::obs {

void RegisterProcessMetrics(MetricsRegistry& metrics);

}  // namespace klatch::obs
