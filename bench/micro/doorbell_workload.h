#pragma once
// What all bells of doorbell_bench are measured with: ringing while nobody sleeps, which a worker's
// batch costs, and a turn of two threads that wake each other.
//
// A Bell has the calls of Doorbell: Ring(), Seen(), WaitFor(seen, timeout).

#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

namespace klatch::lockfree {

constexpr auto kPatience = std::chrono::seconds(1);

template <typename Bell>
void Ring(benchmark::State& state) {
  Bell bell;
  for (auto _ : state) {
    bell.Ring();
  }
  if (!bell.WaitFor(0, kPatience)) {
    state.SkipWithError("rang, and a sleeper would have slept on");
  }
  state.SetItemsProcessed(state.iterations());
}

// Waits until `turn` is `mine`.
template <typename Bell>
void Await(Bell& bell, const std::atomic<uint64_t>& turn, uint64_t mine) {
  while (true) {
    const uint32_t seen = bell.Seen();
    if (turn.load(std::memory_order_acquire) >= mine) {
      return;
    }
    bell.WaitFor(seen, kPatience);
  }
}

template <typename Bell>
void Turn(benchmark::State& state) {
  Bell there;
  Bell back;
  std::atomic<uint64_t> sent{0};
  std::atomic<uint64_t> answered{0};
  std::atomic<bool> stopping{false};
  std::thread other([&] {
    for (uint64_t mine = 1;; ++mine) {
      Await(there, sent, mine);
      if (stopping.load(std::memory_order_acquire)) {
        return;
      }
      answered.store(mine, std::memory_order_release);
      back.Ring();
    }
  });
  uint64_t mine = 0;
  bool is_right = true;
  for (auto _ : state) {
    sent.store(++mine, std::memory_order_release);
    there.Ring();
    Await(back, answered, mine);
    is_right &= answered.load(std::memory_order_relaxed) == mine;
  }
  stopping.store(true, std::memory_order_release);
  sent.store(mine + 1, std::memory_order_release);
  there.Ring();
  other.join();
  if (!is_right) {
    state.SkipWithError("woke for another turn than its own");
  }
  state.SetItemsProcessed(state.iterations());
}

#define KLATCH_BENCH_BELL(ring, turn) \
  BENCHMARK(ring)->UseRealTime();     \
  BENCHMARK(turn)->MeasureProcessCPUTime()->UseRealTime()

}  // namespace klatch::lockfree
