#pragma once
// A distribution in HdrHistogram's text form (.hgrm), line by line as that library prints it with
// five steps per halving of what is left to 100 %: its plotter and other tools read the file.
//
// Pure; any thread. About 5 · log2(count) + 10 lines.
// Not promised: StdDeviation is worked out from the highest values of the buckets.

#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace klatch::obs {

// Buckets from low to high: the highest value, and how many values fell into it, never 0.
using Buckets = std::span<const std::pair<uint64_t, uint64_t>>;

std::string HgrmText(Buckets buckets, double mean, uint64_t max);

}  // namespace klatch::obs
