#pragma once
// The seed of a run. Threads still interleave as they like, so a seed repeats the operations, not
// the run.

#include <cstdint>
#include <cstdio>
#include <random>

#include "tests/lib/setting.h"

namespace klatch::stress {

// From KLATCH_SEED if it is set, from the system otherwise; printed either way.
inline uint64_t PrintedSeed() {
  const uint64_t seed = setting::Number("KLATCH_SEED", std::random_device{}(), 0, UINT64_MAX);
  std::printf("KLATCH_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

// A bijection of 64-bit numbers that looks random: what values derive their check from.
constexpr uint64_t Mixed(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace klatch::stress
