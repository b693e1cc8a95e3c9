// Finds by a 16-byte key among 1,000,000, by several threads at once, with and without a writer that
// goes on inserting; beside it a twin of std::shared_mutex and std::unordered_map.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/lockfree/insert_only_table.h"

namespace klatch::lockfree {
namespace {

constexpr uint32_t kElements = 1'000'000;
// Room for what the writer inserts in a run; it stops when it is used up.
constexpr uint32_t kElementsMax = 4'000'000;

struct Element {
  std::string name;
  uint64_t value = 0;

  std::string_view key() const { return name; }
};

std::string NameOf(uint64_t index) {
  std::string name = std::to_string(index);
  return "person-" + std::string(9 - std::min<size_t>(9, name.size()), '0') + name;
}

class LockFree {
 public:
  bool Insert(uint64_t index) {
    return table_.Insert(std::make_unique<Element>(Element{NameOf(index), index})) != nullptr;
  }
  uint64_t Find(std::string_view key) const { return table_.Find(key)->value; }

 private:
  InsertOnlyTable<Element> table_{kElementsMax};
};

class SharedMutex {
 public:
  bool Insert(uint64_t index) {
    auto element = std::make_unique<Element>(Element{NameOf(index), index});
    const std::unique_lock lock(mutex_);
    if (elements_.size() == kElementsMax) {
      return false;
    }
    const std::string_view key = element->key();
    elements_.emplace(key, std::move(element));
    return true;
  }
  uint64_t Find(std::string_view key) const {
    const std::shared_lock lock(mutex_);
    return elements_.find(key)->second->value;
  }

 private:
  mutable std::shared_mutex mutex_;
  std::unordered_map<std::string_view, std::unique_ptr<Element>> elements_;  // guarded by mutex_
};

// The table of a benchmark, and its writer, for all of its threads.
template <typename Table>
struct World {
  World() {
    for (uint64_t i = 0; i < kElements; ++i) {
      table.Insert(i);
    }
    std::mt19937_64 random(1);
    for (std::string& name : names) {
      name = NameOf(random() % kElements);
    }
  }
  void StartWriter() {
    writer = std::thread([this] {
      for (uint64_t i = kElements; !stopping.load(std::memory_order_relaxed) && table.Insert(i);
           ++i) {
      }
    });
  }
  ~World() {
    stopping.store(true, std::memory_order_relaxed);
    if (writer.joinable()) {
      writer.join();
    }
  }

  Table table;
  std::vector<std::string> names{1 << 16};
  std::atomic<bool> stopping{false};
  std::thread writer;
};

template <typename Table>
void Find(benchmark::State& state) {
  static std::unique_ptr<World<Table>> world;
  if (state.thread_index() == 0) {
    world = std::make_unique<World<Table>>();
    if (state.range(0) != 0) {
      world->StartWriter();
    }
  }
  size_t next = static_cast<size_t>(state.thread_index()) * 7919;
  for (auto _ : state) {
    benchmark::DoNotOptimize(world->table.Find(world->names[next++ % world->names.size()]));
  }
  state.SetItemsProcessed(state.iterations());
  if (state.thread_index() == 0) {
    world.reset();
  }
}

void BM_InsertOnlyTable_Find(benchmark::State& state) { Find<LockFree>(state); }
void BM_SharedMutexMap_Find(benchmark::State& state) { Find<SharedMutex>(state); }

BENCHMARK(BM_InsertOnlyTable_Find)
    ->ArgName("writer")
    ->Arg(0)
    ->Arg(1)
    ->Threads(1)
    ->Threads(2)
    ->UseRealTime();
BENCHMARK(BM_SharedMutexMap_Find)
    ->ArgName("writer")
    ->Arg(0)
    ->Arg(1)
    ->Threads(1)
    ->Threads(2)
    ->UseRealTime();

}  // namespace
}  // namespace klatch::lockfree
