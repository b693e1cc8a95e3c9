#pragma once
// Which partitions this node may answer for and write, now.
//
// Thread safety: any thread.

#include "common/base/clock.h"
#include "services/model/ids.h"

namespace klatch {

class Ownership {
 public:
  virtual ~Ownership() = default;
  // Whether this node's lease on the partition is good at `now` (with a margin for clock drift).
  // Reads ask before they build an answer and again before they send it.
  virtual bool Holds(PartitionIndex partition, base::MonotonicTime now) const = 0;
};

}  // namespace klatch
