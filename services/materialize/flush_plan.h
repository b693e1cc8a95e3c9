#pragma once
// What to write so that a stored ring also holds some more ids: decisions only, no I/O, so that a
// test can walk through a ring's whole life.
//
// Thread safety: plain values and functions.

#include <cstdint>
#include <string>
#include <vector>

namespace klatch {

// What the flusher knows of a stored ring between two writes.
struct StoredRing {
  bool known = false;   // false: Redis may hold anything; read it first
  uint16_t slots = 0;   // 0: there is no such key
  uint16_t cursor = 0;  // the next slot to write; below the last step also the number of ids

  bool operator==(const StoredRing&) const = default;
};

struct RingWrite {
  enum class Kind { kSet, kSetRange, kGrow };

  Kind kind = Kind::kSet;
  uint32_t offset = 0;  // kSetRange; kGrow: how long the string has to be
  std::string value;
};

struct RingPlan {
  std::vector<RingWrite> writes;  // 1 to 3, in this order
  StoredRing after;               // the state once all of them are carried out
};

// Adds `ids` (in any order, at least one). Carrying out the same plan twice changes nothing more.
// REQUIRES: ring.known.
RingPlan PlanAppend(const StoredRing& ring, std::vector<uint64_t> ids);

// Replaces whatever is stored by the newest of `ids`, without duplicates, up to the cap.
RingPlan PlanRewrite(std::vector<uint64_t> ids);

}  // namespace klatch
