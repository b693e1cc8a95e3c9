#pragma once
// What the checker reads when the load is over: whose home timelines, which groups and profiles as
// whom, which single updates. Everything up to a bound, beyond it a seeded sample; and in any case
// what people who left could see by mistake.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "bench/load/oracle/model.h"

namespace klatch::load {

enum class CheckPath : uint8_t { kHome, kGroup, kProfile, kSingle };

struct CheckTask {
  CheckPath path = CheckPath::kHome;
  PersonNumber viewer = 0;
  uint32_t subject = 0;  // group, author, or index of the post in model.posts()
};

struct CheckBounds {
  // Home timelines, group timelines and profiles, each; 0: all up to kAllMax, else kSample.
  size_t timelines = 0;
  size_t single_updates = 2'000;
  // Pairs of a group and a person who left it, and what is tried for each.
  size_t departures = 300;
  size_t posts_per_departure = 10;
  size_t profiles_per_departure = 2;

  static constexpr size_t kAllMax = 20'000;
  static constexpr size_t kSample = 2'000;

  size_t TimelinesOf(size_t all) const {
    return timelines != 0 ? std::min(timelines, all) : (all > kAllMax ? kSample : all);
  }
};

struct CheckPlan {
  std::vector<CheckTask> tasks;
  // Authors there are, and people who left a group.
  uint64_t authors = 0;
  uint64_t departures = 0;
  // Of those, the ones that `tasks` cover.
  uint64_t departures_checked = 0;
};

CheckPlan PlanChecks(const Graph& graph, const Model& model, const CheckBounds& bounds,
                     uint64_t seed);

// `count` of `all`, seeded, ascending; all of them if there are no more.
std::vector<uint32_t> Choose(uint32_t all, size_t count, uint64_t seed);

}  // namespace klatch::load
