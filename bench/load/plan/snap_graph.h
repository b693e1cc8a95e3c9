#pragma once
// The formats of the Stanford Network Analysis Project's ego networks:
//   facebook_combined.txt   an edge per line: two person ids separated by blanks
//   <ego>.circles           a circle per line: its name, then its members, separated by tabs
// Groups made of them: `friends:<person>` (the person, who owns it, and their friends) for
// everybody, and `circle:<ego>:<name>` (the circle and the ego, who owns it).

#include <memory>
#include <string>

#include "bench/load/plan/graph.h"
#include "common/base/status.h"

namespace klatch::load {

// Reads the folder (facebook_combined.txt and all *.circles in it) or the one file of edges at
// `path`. Blank lines and lines that begin with '#' are passed over; an edge said twice counts
// once. NOT_FOUND: nothing there. INVALID_ARGUMENT: "<file>:<line>: …", what is wrong with the
// line.
absl::StatusOr<std::unique_ptr<const Graph>> ImportSnap(const std::string& path);

}  // namespace klatch::load
