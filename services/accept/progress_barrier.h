#pragma once
// The barrier of a running node: the progress of its workers, and that it still holds every
// partition when they are there. A node that was replaced meanwhile has applied a removal in its
// own memory only; the new owner may still show what was removed, so the wait must not end well
// here.
//
// Thread safety: any thread. Lifetime: refers to what it is made of.

#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "services/accept/barrier.h"
#include "services/deliver/progress.h"
#include "services/model/layout.h"
#include "services/persons/ownership.h"

namespace klatch {

class ProgressBarrier final : public Barrier {
 public:
  ProgressBarrier(Progress& progress, const Ownership& ownership, const Layout& layout,
                  const base::Clock& clock)
      : progress_(progress), ownership_(ownership), layout_(layout), clock_(clock) {}

  base::Task<absl::Status> WaitApplied(std::vector<Token> tokens,
                                       base::MonotonicTime deadline) override {
    auto waiting = progress_.WaitApplied(std::move(tokens), deadline);
    absl::Status status = co_await std::move(waiting);
    if (status.ok() && !HoldsAll()) {
      status = NotOwner("this node's leases have run out");
    }
    co_return status;
  }

 private:
  bool HoldsAll() const {
    const base::MonotonicTime now = clock_.Monotonic();
    for (uint32_t i = 0; i < layout_.partition_count; ++i) {
      if (!ownership_.Holds(PartitionIndex(i), now)) {
        return false;
      }
    }
    return true;
  }

  Progress& progress_;
  const Ownership& ownership_;
  const Layout layout_;
  const base::Clock& clock_;
};

}  // namespace klatch
