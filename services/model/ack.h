#pragma once
// What an answer that a write was done says about copies of it. Plain values.

#include <cstdint>

namespace klatch {

enum class AckClass : uint8_t {
  // What the node was told to use where nobody says anything else (--ack).
  kUsual = 0,
  // The master of Redis has it.
  kLocal = 1,
  // A replica has it, too.
  kReplicated = 2,
  // The master has it on its disk, and all replicas that are in sync have it.
  kStrict = 3,
  // All replicas that are in sync have it, if there are any: of what takes something away.
  kStrongest = 4,
};

}  // namespace klatch
