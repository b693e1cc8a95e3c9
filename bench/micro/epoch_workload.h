#pragma once
// What all reclaimers of epoch_bench are measured with: pinning by several threads at once, which every
// page and every judgement does, and retiring while nobody is pinned.
//
// A Reclaimer has
//   class Reader                             what a pinning thread makes before its first pin
//   uint64_t Pinned(const F& f)              f() while nothing that can be found is deleted
//   void Retire(std::unique_ptr<Retired>)    deletes it when nobody can see it
//   void Reclaim()                           deletes what nobody can see

#include <benchmark/benchmark.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace klatch::lockfree {

// Counts those that live, for the check that all are deleted in the end.
class Retired {
 public:
  Retired() { ++living_; }
  ~Retired() { --living_; }
  Retired(const Retired&) = delete;
  Retired& operator=(const Retired&) = delete;

  static int64_t living() { return living_; }

 private:
  static inline int64_t living_ = 0;  // one thread retires and deletes
};

struct NoReader {};

template <typename Reclaimer>
void Pin(benchmark::State& state) {
  static Reclaimer reclaimer;
  static const std::atomic<uint64_t> word{42};
  [[maybe_unused]] const typename Reclaimer::Reader reader;
  bool is_right = true;
  for (auto _ : state) {
    is_right &= reclaimer.Pinned([] { return word.load(std::memory_order_acquire); }) == 42;
  }
  if (!is_right) {
    state.SkipWithError("read another word under the guard");
  }
  state.SetItemsProcessed(state.iterations());
}

template <typename Reclaimer>
void Retire(benchmark::State& state) {
  [[maybe_unused]] const typename Reclaimer::Reader reader;
  Reclaimer reclaimer;
  for (auto _ : state) {
    reclaimer.Retire(std::make_unique<Retired>());
  }
  reclaimer.Reclaim();
  if (Retired::living() != 0) {
    state.SkipWithError("nobody is pinned, and not all that was retired is deleted");
  }
  state.SetItemsProcessed(state.iterations());
}

#define KLATCH_BENCH_RECLAIMER(pin, retire)              \
  BENCHMARK(pin)->Threads(1)->Threads(2)->UseRealTime(); \
  BENCHMARK(retire)->UseRealTime()

}  // namespace klatch::lockfree
