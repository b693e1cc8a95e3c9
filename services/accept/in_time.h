#pragma once
// The caller's deadline, asked before each step of a write that can't be taken back.
//
// Thread safety: a function without state.

#include "common/base/clock.h"
#include "common/base/status.h"

namespace klatch {

// DEADLINE_EXCEEDED with reason NOT_SENT if `deadline` has come: what the caller no longer waits
// for is not begun, and the caller learns that it was not.
inline absl::Status CheckInTime(const base::Clock& clock, base::MonotonicTime deadline) {
  if (clock.Monotonic() < deadline) {
    return absl::OkStatus();
  }
  absl::Status late =
      base::Error(absl::StatusCode::kDeadlineExceeded, "the deadline came before the write");
  return base::WithReason(std::move(late), "NOT_SENT");
}

}  // namespace klatch
