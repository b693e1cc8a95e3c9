#pragma once
// The barrier of a running node: the progress of its workers, and that it still holds every
// partition when they are there. A node that was replaced meanwhile has applied a removal in its
// own memory only; the new owner may still show what was removed, so the wait must not end well
// here. What watches had queued by then is judged anew, which the fence of the live thread sees to.
//
// Thread safety: any thread, after Join. Lifetime: refers to what it is made of.

#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "services/accept/barrier.h"
#include "services/deliver/progress.h"
#include "services/model/layout.h"
#include "services/persons/ownership.h"

namespace klatch {

// The thread that shows updates to watches.
class WatchFence {
 public:
  virtual ~WatchFence() = default;
  // Returns when whatever is handed to gRPC from then on was judged after the call. At once while
  // nobody watches, and when the thread has ended.
  virtual base::Task<void> Pass() = 0;
};

class ProgressBarrier final : public Barrier {
 public:
  ProgressBarrier(Progress& progress, const Ownership& ownership, const Layout& layout,
                  const base::Clock& clock)
      : progress_(progress), ownership_(ownership), layout_(layout), clock_(clock) {}

  // Before the first call.
  void Join(WatchFence& fence) { fence_ = &fence; }

  base::Task<void> WaitWatches() override {
    if (fence_ != nullptr) {
      auto passing = fence_->Pass();
      co_await std::move(passing);
    }
  }

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
  WatchFence* fence_ = nullptr;
};

}  // namespace klatch
