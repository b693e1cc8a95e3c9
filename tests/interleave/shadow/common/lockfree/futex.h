#pragma once
// In the place of common/lockfree/futex.h, in the builds of tests/interleave only: the sleep of the
// model. No timeout passes in it, so that who is not woken is found.

#include <chrono>
#include <cstdint>

#include "common/lockfree/primitives.h"

namespace klatch::lockfree {

inline void FutexWait(Atomic<uint32_t>& word, uint32_t expected, std::chrono::nanoseconds) {
  interleave::World::Now().Wait(&word, 0, expected);
}

inline void FutexWakeAll(Atomic<uint32_t>& word) { interleave::World::Now().WakeAll(&word); }

}  // namespace klatch::lockfree
