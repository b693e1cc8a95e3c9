#pragma once
// Plays a scenario in many executions, each under another schedule, until its share of the time is
// used or something is found.
//
// First at random, by seeds that follow one that is printed when something is found; then, if the
// scenario is small, all schedules of few changes and few old loads, then of more.
//
// KLATCH_INTERLEAVE_SECONDS is the time of all scenarios together (15), KLATCH_SEED the first seed
// (the system's randomness), KLATCH_INTERLEAVE_SEED replays a single execution and tells each step.

#include <cstddef>
#include <functional>

#include "tests/interleave/world.h"

namespace klatch::interleave {

struct Size {
  size_t steps = 100;     // about how many an execution takes
  bool is_small = false;  // whether all schedules are tried, too
};

// Fails the test in which it is called if anything is found.
void Explore(Size size, const std::function<void(World&)>& scenario);

}  // namespace klatch::interleave
