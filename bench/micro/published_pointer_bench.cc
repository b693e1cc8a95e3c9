// A list that is read by several threads and replaced now and then: the published pointer with its
// epoch guard, beside a twin of a mutex and a shared_ptr. Loads while nobody replaces, and while a
// writer does so all the time; then the cost of replacing.

#include <benchmark/benchmark.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "common/lockfree/published_pointer.h"

namespace klatch::lockfree {
namespace {

constexpr size_t kItems = 10;
using List = std::vector<uint64_t>;

std::unique_ptr<const List> NewList() { return std::make_unique<const List>(kItems, 1); }
uint64_t SumOf(const List& list) { return std::accumulate(list.begin(), list.end(), uint64_t{0}); }

class Published {
 public:
  Published() { Replace(); }
  void Replace() { list_.Replace(NewList(), epochs_); }
  uint64_t Read() {
    const EpochReclaimer::Guard guard(epochs_);
    return SumOf(*list_.Load(guard));
  }

 private:
  EpochReclaimer epochs_;
  PublishedPointer<List> list_;
};

class MutexShared {
 public:
  MutexShared() { Replace(); }
  void Replace() {
    std::shared_ptr<const List> fresh = NewList();
    const std::lock_guard lock(mutex_);
    list_.swap(fresh);  // the former one ends after the lock
  }
  uint64_t Read() {
    std::shared_ptr<const List> list;
    {
      const std::lock_guard lock(mutex_);
      list = list_;
    }
    return SumOf(*list);
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<const List> list_;  // guarded by mutex_
};

template <typename Holder>
struct World {
  void StartWriter() {
    writer = std::thread([this] {
      while (!stopping.load(std::memory_order_relaxed)) {
        holder.Replace();
      }
    });
  }
  ~World() {
    stopping.store(true, std::memory_order_relaxed);
    if (writer.joinable()) {
      writer.join();
    }
  }

  Holder holder;
  std::atomic<bool> stopping{false};
  std::thread writer;
};

template <typename Holder>
void Read(benchmark::State& state) {
  static std::unique_ptr<World<Holder>> world;
  if (state.thread_index() == 0) {
    world = std::make_unique<World<Holder>>();
    if (state.range(0) != 0) {
      world->StartWriter();
    }
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(world->holder.Read());
  }
  state.SetItemsProcessed(state.iterations());
  if (state.thread_index() == 0) {
    world.reset();
  }
}

template <typename Holder>
void Replace(benchmark::State& state) {
  Holder holder;
  for (auto _ : state) {
    holder.Replace();
  }
  state.SetItemsProcessed(state.iterations());
}

void BM_PublishedPointer_Read(benchmark::State& state) { Read<Published>(state); }
void BM_MutexSharedPtr_Read(benchmark::State& state) { Read<MutexShared>(state); }
void BM_PublishedPointer_Replace(benchmark::State& state) { Replace<Published>(state); }
void BM_MutexSharedPtr_Replace(benchmark::State& state) { Replace<MutexShared>(state); }

BENCHMARK(BM_PublishedPointer_Read)
    ->ArgName("writer")
    ->Arg(0)
    ->Arg(1)
    ->Threads(1)
    ->Threads(2)
    ->UseRealTime();
BENCHMARK(BM_MutexSharedPtr_Read)
    ->ArgName("writer")
    ->Arg(0)
    ->Arg(1)
    ->Threads(1)
    ->Threads(2)
    ->UseRealTime();
BENCHMARK(BM_PublishedPointer_Replace)->UseRealTime();
BENCHMARK(BM_MutexSharedPtr_Replace)->UseRealTime();

}  // namespace
}  // namespace klatch::lockfree
