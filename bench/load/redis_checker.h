#pragma once
// The stored timelines in Redis against the model: rings of packed ids in which order means nothing
// and zero is an empty slot. Copies of what a person may no longer see may lie there, so only what
// is missing and what is there twice counts.
//
// One thread. Errors: UNAVAILABLE if Redis can't be reached.

#include <atomic>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "bench/load/model.h"
#include "bench/load/run_state.h"
#include "bench/load/violations.h"
#include "common/base/status.h"

namespace klatch::load {

struct RedisCheckOptions {
  std::string uri;
  size_t cap = 800;
  // How long a timeline may take to become what it must be.
  std::chrono::milliseconds settle_timeout{10'000};
};

// Newest first, without the empty slots. What lies behind the last whole id is passed over.
std::vector<uint64_t> IdsOfRing(std::string_view ring);

struct RedisCheckResult {
  uint64_t timelines = 0;
  uint64_t posts = 0;
};

// Home timelines and posts of `persons`.
absl::StatusOr<RedisCheckResult> CheckRedis(const Graph& graph, const Model& model,
                                            const RedisCheckOptions& options,
                                            const std::vector<PersonNumber>& persons,
                                            RunState& state, Violations& violations,
                                            std::atomic<uint64_t>& timelines_read);

}  // namespace klatch::load
