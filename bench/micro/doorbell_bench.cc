// A bell beside a twin of mutex and condition variable: ringing while nobody sleeps, which a worker's
// batch costs, and a turn of two threads that wake each other.

#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#include "common/lockfree/doorbell.h"

namespace klatch::lockfree {
namespace {

constexpr auto kPatience = std::chrono::seconds(1);

class MutexBell {
 public:
  void Ring() {
    {
      const std::lock_guard lock(mutex_);
      ++rings_;
    }
    rung_.notify_all();
  }
  uint32_t Seen() const {
    const std::lock_guard lock(mutex_);
    return rings_;
  }
  bool WaitFor(uint32_t seen, std::chrono::nanoseconds timeout) {
    std::unique_lock lock(mutex_);
    return rung_.wait_for(lock, timeout, [&] { return rings_ != seen; });
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable rung_;
  uint32_t rings_ = 0;  // guarded by mutex_
};

template <typename Bell>
void Ring(benchmark::State& state) {
  Bell bell;
  for (auto _ : state) {
    bell.Ring();
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
  for (auto _ : state) {
    sent.store(++mine, std::memory_order_release);
    there.Ring();
    Await(back, answered, mine);
  }
  stopping.store(true, std::memory_order_release);
  sent.store(mine + 1, std::memory_order_release);
  there.Ring();
  other.join();
  state.SetItemsProcessed(state.iterations());
}

void BM_Doorbell_Ring(benchmark::State& state) { Ring<Doorbell>(state); }
void BM_MutexBell_Ring(benchmark::State& state) { Ring<MutexBell>(state); }
void BM_Doorbell_Turn(benchmark::State& state) { Turn<Doorbell>(state); }
void BM_MutexBell_Turn(benchmark::State& state) { Turn<MutexBell>(state); }

BENCHMARK(BM_Doorbell_Ring)->UseRealTime();
BENCHMARK(BM_MutexBell_Ring)->UseRealTime();
BENCHMARK(BM_Doorbell_Turn)->UseRealTime();
BENCHMARK(BM_MutexBell_Turn)->UseRealTime();

}  // namespace
}  // namespace klatch::lockfree
