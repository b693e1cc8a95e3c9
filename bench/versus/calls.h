#pragma once
// What a call to klatchd costs against what gRPC costs: a post to a group of one, and a page of twenty
// updates of 200 bytes, each in turn with a server that does nothing but answer.
//
// Both sides: a Unix socket, four connections, sixteen calls under way on each.
//
// Thread safety: one thread at a time; gRPC's threads make the calls.

#include <vector>

#include "bench/versus/figure.h"
#include "bench/versus/lab.h"

namespace klatch::versus {

// publish_cpu_ratio and read_ratio, those that the options want.
absl::StatusOr<std::vector<Figure>> MeasureCalls(Lab& lab);

}  // namespace klatch::versus
