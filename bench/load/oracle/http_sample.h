#pragma once
// After the load: the newest page of some home timelines over HTTP, as JSON, held against the same
// page over gRPC, which other checks hold against the model. Nothing may be posted or moved meanwhile.
//
// Thread safety: one thread. Errors: a call that fails is a fault in `violations`.

#include <cstdint>
#include <string>

#include "bench/load/calls/client.h"
#include "bench/load/oracle/violations.h"
#include "common/base/status.h"

namespace klatch::load {

struct HttpSampleOptions {
  std::string address;  // host:port
  size_t persons = 200;
  uint64_t seed = 0;
};

// How many pages were compared. INVALID_ARGUMENT: the address is none.
absl::StatusOr<uint64_t> CompareHttp(const Graph& graph, Client& client,
                                     const HttpSampleOptions& options, RunState& state,
                                     Violations& violations);

// What the page over HTTP lacks, shows twice or shows too much, and whether one reads differently.
void CompareHttpPage(PersonNumber person, const std::vector<klatch::v1::Update>& expected,
                     const std::vector<klatch::v1::Update>& shown, Violations& violations);

}  // namespace klatch::load
