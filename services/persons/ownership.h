#pragma once
// Which partitions this node may answer for and write, now.
//
// Thread safety: any thread.

#include <chrono>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "services/model/ids.h"

namespace klatch {

class Ownership {
 public:
  virtual ~Ownership() = default;
  // Whether this node's lease on the partition is good at `now` (with a margin for clock drift).
  // Reads ask before they build an answer and again before they send it.
  virtual bool Holds(PartitionIndex partition, base::MonotonicTime now) const = 0;
};

// What a call is told that only the owner may answer: UNAVAILABLE with reason NOT_OWNER and when to
// ask again.
inline absl::Status NotOwner(std::string_view message) {
  constexpr std::chrono::milliseconds kRetryAfter{200};
  return base::WithReason(base::RetryLater(absl::StatusCode::kUnavailable, message, kRetryAfter),
                          "NOT_OWNER");
}

}  // namespace klatch
