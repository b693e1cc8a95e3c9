#include "common/lockfree/epoch.h"

#include <algorithm>
#include <cassert>
#include <functional>
#include <mutex>
#include <thread>

namespace klatch::lockfree {
namespace {

// Where this thread looks for a free slot first: where it last found one. Any value is right.
size_t& SlotHint() {
  thread_local size_t hint = std::hash<std::thread::id>()(std::this_thread::get_id());
  return hint;
}

}  // namespace

EpochReclaimer::Guard::Guard(EpochReclaimer& reclaimer) : slot_(nullptr) {
  size_t& hint = SlotHint();
  for (size_t i = 0; slot_ == nullptr; ++i) {
    if (i != 0 && i % kReaderSlots == 0) {
      std::this_thread::yield();
    }
    Atomic<uint64_t>& slot = reclaimer.slots_[(hint + i) % kReaderSlots].epoch;
    if (slot.load(std::memory_order_relaxed) != 0) {
      continue;  // taken; looking costs less than the exchange
    }
    uint64_t expected = 0;
    // Relaxed: p1. What it says of unlinked objects p3 acquires (invariant 1).
    const uint64_t epoch = reclaimer.epoch_.load(std::memory_order_relaxed);
    // seq_cst: p2. Relaxed on failure: nothing was learned but that the slot is taken.
    if (slot.compare_exchange_strong(expected, epoch, std::memory_order_seq_cst,
                                     std::memory_order_relaxed)) {
      slot_ = &slot;
      hint = (hint + i) % kReaderSlots;
    }
  }
  // p3: its value doesn't matter, its place in the order does (invariant 2).
  static_cast<void>(reclaimer.epoch_.load(std::memory_order_seq_cst));
}

EpochReclaimer::Guard::~Guard() {
  // Release: the reader's last use precedes the deletion (invariant 3).
  slot_->store(0, std::memory_order_release);
}

EpochReclaimer::~EpochReclaimer() {
  TryReclaim();
  assert(limbo_.empty() && "a guard outlives its reclaimer");
}

void EpochReclaimer::RetireErased(const void* object, Deleter deleter) {
  const uint64_t tag = epoch_.fetch_add(1, std::memory_order_seq_cst);  // t2
  bool is_due = false;
  {
    const std::lock_guard lock(mutex_);
    limbo_.push_back({object, deleter, tag});
    is_due = limbo_.size() > reclaim_at_;
  }
  if (is_due) {
    TryReclaim();
  }
}

uint64_t EpochReclaimer::OldestPinned() const {
  uint64_t oldest = UINT64_MAX;
  for (const Slot& slot : slots_) {
    const uint64_t epoch = slot.epoch.load(std::memory_order_seq_cst);  // s1
    if (epoch != 0) {
      oldest = std::min(oldest, epoch);
    }
  }
  return oldest;
}

size_t EpochReclaimer::TryReclaim() {
  std::vector<Retired> free_now;
  {
    const std::lock_guard lock(mutex_);
    // Under the mutex, so that every object in limbo was tagged before the scan (invariant 2).
    const uint64_t oldest = OldestPinned();
    const auto kept_end = std::partition(limbo_.begin(), limbo_.end(),
                                         [&](const Retired& r) { return r.tag >= oldest; });
    free_now.assign(kept_end, limbo_.end());
    limbo_.erase(kept_end, limbo_.end());
    reclaim_at_ = limbo_.size() + kLimboBatch;
  }
  // Outside the mutex: destructors are not ours.
  for (const Retired& retired : free_now) {
    retired.deleter(retired.object);
  }
  return free_now.size();
}

size_t EpochReclaimer::retired() const {
  const std::lock_guard lock(mutex_);
  return limbo_.size();
}

}  // namespace klatch::lockfree
