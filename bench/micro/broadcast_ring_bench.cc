// One producer hands items to several consumers, each on its own thread, until all have seen all;
// beside it a mutex twin with a deque per consumer.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "common/lockfree/broadcast_ring.h"

namespace klatch::lockfree {
namespace {

constexpr uint64_t kItems = 200'000;
constexpr size_t kSlots = 4096;
constexpr size_t kBatch = 64;
constexpr auto kPatience = std::chrono::seconds(1);

struct Item {
  uint64_t number = 0;
  uint64_t payload[6] = {};
};

// Runs produce() here and consume(i) on a thread each.
template <typename Produce, typename Consume>
void RunOnce(size_t consumers, const Produce& produce, const Consume& consume) {
  std::vector<std::thread> threads;
  for (size_t consumer = 0; consumer < consumers; ++consumer) {
    threads.emplace_back([&consume, consumer] { consume(consumer); });
  }
  produce();
  for (std::thread& thread : threads) {
    thread.join();
  }
}

void BM_BroadcastRing_Handover(benchmark::State& state) {
  const auto consumers = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    BroadcastRing<Item> ring(kSlots, consumers);
    const auto produce = [&] {
      for (uint64_t next = 0; next < kItems;) {
        const uint64_t end = std::min(next + kBatch, kItems);
        for (Item* item = nullptr; next < end && (item = ring.TryClaim()) != nullptr;) {
          item->number = next++;
        }
        ring.Publish();
        if (next < end) {
          ring.WaitForRoom(kPatience);
        }
      }
    };
    const auto consume = [&](size_t consumer) {
      uint64_t seen = 0;
      uint64_t sum = 0;
      while (seen < kItems) {
        const size_t count = ring.Poll(
            consumer, [&](const Item& item) { sum += item.number; }, kBatch);
        seen += count;
        if (count == 0) {
          ring.WaitForItems(consumer, kPatience);
        }
      }
      benchmark::DoNotOptimize(sum);
    };
    RunOnce(consumers, produce, consume);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kItems));
}

// The twin: one mutex, a deque per consumer, each bounded like the ring.
class MutexBroadcast {
 public:
  explicit MutexBroadcast(size_t consumers) : queues_(consumers) {}

  void Publish(const std::vector<Item>& batch) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] {
      return std::all_of(queues_.begin(), queues_.end(), [&](const std::deque<Item>& queue) {
        return queue.size() + batch.size() <= kSlots;
      });
    });
    for (std::deque<Item>& queue : queues_) {
      queue.insert(queue.end(), batch.begin(), batch.end());
    }
    changed_.notify_all();
  }

  // Replaces `out` by at least one item.
  void Take(size_t consumer, std::vector<Item>& out) {
    std::unique_lock lock(mutex_);
    std::deque<Item>& queue = queues_[consumer];
    changed_.wait(lock, [&] { return !queue.empty(); });
    const auto end = queue.begin() + static_cast<std::ptrdiff_t>(std::min(queue.size(), kBatch));
    out.assign(queue.begin(), end);
    queue.erase(queue.begin(), end);
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::deque<Item>> queues_;  // guarded by mutex_
};

void BM_MutexBroadcast_Handover(benchmark::State& state) {
  const auto consumers = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    MutexBroadcast broadcast(consumers);
    const auto produce = [&] {
      std::vector<Item> batch;
      for (uint64_t next = 0; next < kItems;) {
        batch.clear();
        while (batch.size() < kBatch && next < kItems) {
          batch.push_back({next++, {}});
        }
        broadcast.Publish(batch);
      }
    };
    const auto consume = [&](size_t consumer) {
      std::vector<Item> items;
      uint64_t sum = 0;
      for (uint64_t seen = 0; seen < kItems; seen += items.size()) {
        broadcast.Take(consumer, items);
        for (const Item& item : items) {
          sum += item.number;
        }
      }
      benchmark::DoNotOptimize(sum);
    };
    RunOnce(consumers, produce, consume);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kItems));
}

BENCHMARK(BM_BroadcastRing_Handover)->ArgName("consumers")->Arg(1)->Arg(2)->Arg(4)->UseRealTime();
BENCHMARK(BM_MutexBroadcast_Handover)->ArgName("consumers")->Arg(1)->Arg(2)->Arg(4)->UseRealTime();

}  // namespace
}  // namespace klatch::lockfree
