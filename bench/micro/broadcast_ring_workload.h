#pragma once
// What all broadcasts of broadcast_ring_bench are measured with: one producer hands items to several
// consumers, each on its own thread, until all have seen all, in order; whoever has to wait sleeps.
//
// A Broadcast is made with the number of consumers, holds at most kSlots items per consumer, and has
//   void Publish(uint64_t first, size_t count)    items numbered [first, first + count) for all
//   size_t Take(size_t consumer, F&& f)           calls f(const Item&) for at least one, at most kBatch

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

namespace klatch::lockfree {

constexpr uint64_t kItems = 200'000;
constexpr size_t kSlots = 4096;
constexpr size_t kBatch = 64;
constexpr auto kPatience = std::chrono::seconds(1);

struct Item {
  uint64_t number = 0;
  uint64_t payload[6] = {};
};

inline Item ItemOf(uint64_t number) { return {number, {number, 0, 0, 0, 0, ~number}}; }

// Takes all items; whether each came whole and in its turn.
template <typename Broadcast>
bool TakeAll(Broadcast& broadcast, size_t consumer) {
  uint64_t seen = 0;
  bool is_right = true;
  while (seen < kItems) {
    broadcast.Take(consumer, [&](const Item& item) {
      is_right &= item.number == seen && item.payload[0] == seen && item.payload[5] == ~seen;
      ++seen;
    });
  }
  return is_right;
}

template <typename Broadcast>
void Handover(benchmark::State& state) {
  const auto consumers = static_cast<size_t>(state.range(0));
  std::atomic<bool> is_right{true};
  for (auto _ : state) {
    Broadcast broadcast(consumers);
    std::vector<std::thread> threads;
    for (size_t consumer = 0; consumer < consumers; ++consumer) {
      threads.emplace_back([&, consumer] {
        if (!TakeAll(broadcast, consumer)) {
          is_right.store(false, std::memory_order_relaxed);
        }
      });
    }
    for (uint64_t next = 0; next < kItems; next += kBatch) {
      broadcast.Publish(next, std::min(kBatch, kItems - next));
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
  }
  if (!is_right.load(std::memory_order_relaxed)) {
    state.SkipWithError("a consumer missed an item, or got one torn or out of turn");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kItems));
}

#define KLATCH_BENCH_HANDOVER(name) \
  BENCHMARK(name)                   \
      ->ArgName("consumers")        \
      ->Arg(1)                      \
      ->Arg(2)                      \
      ->Arg(4)                      \
      ->MeasureProcessCPUTime()     \
      ->UseRealTime()

}  // namespace klatch::lockfree
