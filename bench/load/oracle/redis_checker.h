#pragma once
// What is stored in Redis against the model: everybody's home timeline and posts, or those of a
// sample, every group's feed. All are rings of packed ids in which order means nothing and zero is an empty slot. Copies
// of what a person may no longer see may lie there, and what is older than this run; what is
// missing, what is there twice, and what was never due is a violation. Of groups that are read from
// their feeds, now or lately, copies may lack.
//
// Several connections, each with a thread. Errors: UNAVAILABLE if Redis can't be reached.

#include <atomic>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "bench/load/calls/run_state.h"
#include "bench/load/oracle/model.h"
#include "bench/load/oracle/violations.h"
#include "common/base/status.h"

namespace klatch::load {

struct RedisCheckOptions {
  // Of more persons than that a seeded sample is looked at: to work out what is due to everybody would
  // take longer than any load. Feeds always all.
  static constexpr uint32_t kPersonsMax = 200'000;
  static constexpr uint32_t kPersonsSampled = 5'000;

  std::string uri = {};
  size_t cap = 800;
  uint32_t connections = 2;
  uint64_t seed = 0;
  // The node copies nothing to who does not read: home timelines may lack anything.
  bool somebody_is_quiet = false;
  // How long a ring may take to become what it must be; none if everything is known to be flushed.
  std::chrono::milliseconds settle_timeout{0};
};

// Newest first, without the empty slots. What lies behind the last whole id is passed over.
std::vector<uint64_t> IdsOfRing(std::string_view ring);

struct RedisCheckResult {
  uint64_t timelines = 0;
  uint64_t posts = 0;
  uint64_t feeds = 0;
};

// `done` counts persons and groups for progress.
absl::StatusOr<RedisCheckResult> CheckRedis(const Graph& graph, const Model& model,
                                            const RedisCheckOptions& options, RunState& state,
                                            Violations& violations, std::atomic<uint64_t>& done);

// Waits until no timeline is marked as having a hole. DEADLINE_EXCEEDED: `timeout` passed, with how
// many are left.
absl::Status WaitNoHoles(const std::string& uri, RunState& state,
                         std::chrono::milliseconds timeout);

}  // namespace klatch::load
