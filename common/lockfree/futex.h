#pragma once
// The kernel's sleep upon a word, for threads of one process. Linux.
//
// Thread safety: any thread. What the kernel promises: the comparison of the word, and falling
// asleep, are one step, ordered with the wakes of the same word. It doesn't promise any order with
// other words. tests/interleave puts a model of just that in the place of this file.

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <climits>
#include <cstdint>

#include "common/lockfree/primitives.h"

namespace klatch::lockfree {

static_assert(sizeof(Atomic<uint32_t>) == sizeof(uint32_t), "a futex is a plain word");

// Sleeps while the word is `expected`, until a wake, at most `timeout`; it may return early.
// REQUIRES: the timeout is greater than zero.
inline void FutexWait(Atomic<uint32_t>& word, uint32_t expected, std::chrono::nanoseconds timeout) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout);
  timespec relative{};
  relative.tv_sec = static_cast<time_t>(seconds.count());
  relative.tv_nsec = static_cast<decltype(relative.tv_nsec)>((timeout - seconds).count());
  // Whatever it answers (woken, changed, timed out, interrupted), the caller looks again.
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, expected, &relative,
          nullptr, 0);
}

// Wakes all that sleep upon the word.
inline void FutexWakeAll(Atomic<uint32_t>& word) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr,
          nullptr, 0);
}

}  // namespace klatch::lockfree
