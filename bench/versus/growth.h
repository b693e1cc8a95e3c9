#pragma once
// How the cost of a post grows with the persons that a node holds: loads with groups of 10, 400 and
// 10,000 among different numbers of persons, and for each number the line
//
//   time per post = a + b * members
//
// The time is that of a node and its Redis that do nothing else, the drain inside; each load runs with
// its checks. Each timeline has had some posts before; they are not full.
//
// Thread safety: one thread at a time.

#include <vector>

#include "bench/versus/figure.h"
#include "bench/versus/lab.h"

namespace klatch::versus {

// growth_ratio and post_cost_us, those that the options want.
absl::StatusOr<std::vector<Figure>> MeasureGrowth(Lab& lab);

}  // namespace klatch::versus
