#pragma once
// How soon the last member of a group is told of a post, while the node has half of the posts that it
// can take; against an empty call to another server, made at the same time on the same machine.
//
//   posts to groups of 400, one per call, when they are due ──▶ klatchd ──▶ one stream, ten groups
//   posts to the large group, kLargeRate a second           ──▶         ──▶ a sample of its members
//   empty calls, kProbeRate a second                        ──▶ a server of empty calls
//
// Latency is counted from when the call was due to when the event of the last member was read. Of the
// large group a sample of its members is watched: no stream takes more than 100,000 persons.
//
// Thread safety: one thread at a time; it starts and joins others.

#include <vector>

#include "bench/versus/figure.h"
#include "bench/versus/lab.h"

namespace klatch::versus {

// last_member_ratio and million_group_ratio, those that the options want.
absl::StatusOr<std::vector<Figure>> MeasureLastMember(Lab& lab);

}  // namespace klatch::versus
