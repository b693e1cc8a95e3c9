#pragma once
// How a group's updates reach its members' home timelines, and from how many members on. Plain values.
//
//   copied ──(more than `above` members)──▶ pulled ──(fewer than `least`)──▶ copied again
//     ▲                                       ▲──────(more than `above`)────────┘ │
//     └──────────────(nothing is in the feed any more that was not copied)────────┘

#include <cstdint>
#include <limits>

namespace klatch {

enum class Delivery : uint8_t {
  kCopied = 0,
  // Read from the group's feed by whoever looks at their home timeline.
  kPulled = 1,
  // Copied; but the feed may still hold updates that were not.
  kCopiedAgain = 2,
};

struct PullThresholds {
  // A group of more members is pulled; 0: none is.
  uint32_t above = 0;

  // A pulled group of fewer members is copied again. Four fifths, so that somebody who comes and
  // goes doesn't switch it each time.
  constexpr uint32_t Least() const { return static_cast<uint32_t>((uint64_t{above} * 4 + 4) / 5); }
};

}  // namespace klatch
