#pragma once
// A bell that wakes threads that had nothing to do. Each sleeper looks at what it waits for between
// Seen() and WaitFor(), so that no ring is lost:
//
//   const uint32_t seen = bell.Seen();          // 1. remember the bell
//   if (DoWork() == 0) bell.WaitFor(seen, 50ms);  // 2. look, 3. sleep unless it rang since 1
//
// Thread safety: any number of ringers and sleepers. Not for the delivery of data: who rings has
// made the data visible before by its own means, and Ring() publishes it as well. Cost: Ring() is
// one atomic addition and one load while nobody sleeps, a system call otherwise.
//
// Proof sheet.
//
//   Ringer   A  rings_ += 1      seq_cst       Sleeper  C  sleepers_ += 1   seq_cst
//            B  load sleepers_   seq_cst                D  load rings_      seq_cst, and the futex
//                                                          compares it again
//
//  1. In the single order of seq_cst either C precedes B, and the ringer wakes; or B precedes C,
//     hence A precedes D, and the sleeper doesn't sleep. With less than seq_cst both could read the
//     old value, and the sleeper would sleep through the ring.
//  2. If the ringer's wake comes between D and the sleep, the kernel's comparison, which is ordered
//     with wakes, sees A.
//
// Progress: Ring() is wait-free. WaitFor() returns at the latest after its timeout. 2^32 rings
// between Seen() and WaitFor() would go unnoticed until the timeout.

#include <chrono>
#include <cstdint>

#include "common/lockfree/cache_line.h"
#include "common/lockfree/primitives.h"

namespace klatch::lockfree {

class alignas(kCacheLineBytes) Doorbell {
 public:
  Doorbell() = default;
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  void Ring() {
    rings_.fetch_add(1, std::memory_order_seq_cst);        // A
    if (sleepers_.load(std::memory_order_seq_cst) != 0) {  // B
      WakeAll();
    }
  }

  // Acquire: who sees a ring sees what was done before it.
  uint32_t Seen() const { return rings_.load(std::memory_order_acquire); }

  // Whether the bell has rung since `seen`; spins for a moment, then sleeps until it does or the
  // timeout has passed. It may return false early; callers loop anyway.
  bool WaitFor(uint32_t seen, std::chrono::nanoseconds timeout);

 private:
  void WakeAll();

  Atomic<uint32_t> rings_{0};
  Atomic<uint32_t> sleepers_{0};
};

}  // namespace klatch::lockfree
