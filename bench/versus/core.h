#pragma once
// One worker of services/deliver in this process, without Redis, against the memory that it writes to.
//
//   this thread ──▶ broadcast ring ──▶ worker ──▶ 1,000,000 full rings of 256 entries
//        └── in turn: writes of 16 bytes at random over the same arena
//
// A stand-in for the flusher takes what is dirty four times a second and drops it, so that the worker
// keeps its lists of that as in a service; nobody reads the rings.
//
// Thread safety: one thread at a time; it starts and joins the worker.
// Bound: about 6.5 GiB of memory for a million persons.

#include <vector>

#include "bench/versus/figure.h"
#include "bench/versus/lab.h"

namespace klatch::versus {

// core_ratio and memory_bytes_per_entry, those that the options want. RESOURCE_EXHAUSTED: too little
// memory.
absl::StatusOr<std::vector<Figure>> MeasureCore(const Lab& lab);

}  // namespace klatch::versus
