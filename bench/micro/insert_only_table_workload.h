#pragma once
// What all tables of insert_only_table_bench are measured with: inserts of 100,000, and finds by a
// 16-byte key among 1,000,000, by several threads at once, with and without a writer that goes on
// inserting (paced_writer.h).
//
// A Table has
//   bool Insert(std::unique_ptr<Element>)         false: no room for more than kElementsMax
//   uint64_t Find(std::string_view key) const     the element's value; the key is there

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/micro/paced_writer.h"
#include "common/base/hash.h"

namespace klatch::lockfree {

constexpr uint32_t kElements = 1'000'000;
// Room for what the writer inserts in all runs; it stops when it is used up.
constexpr uint32_t kElementsMax = 4'000'000;
constexpr uint64_t kInserts = 100'000;

struct Element {
  std::string name;
  uint64_t value = 0;

  std::string_view key() const { return name; }
};

inline std::unique_ptr<Element> NewElement(uint64_t value) {
  std::string name = std::to_string(value);
  name = "person-" + std::string(9 - std::min<size_t>(9, name.size()), '0') + name;
  return std::make_unique<Element>(Element{std::move(name), value});
}

// The hash of our table, for the others: what is compared is the table.
struct KeyHash {
  size_t operator()(std::string_view key) const { return base::StableHash64(key); }
};

template <typename Table>
struct World {
  struct Sought {
    std::string name;
    uint64_t value;
  };

  World() {
    while (size < kElements) {
      InsertNext();
    }
    std::mt19937_64 random(1);
    for (int i = 0; i < 1 << 16; ++i) {
      const uint64_t value = random() % kElements;
      sought.push_back({NewElement(value)->name, value});
    }
  }
  bool InsertNext() { return table.Insert(NewElement(size++)); }

  Table table;
  uint64_t size = 0;  // the writer's own
  std::vector<Sought> sought;
};

inline std::shared_ptr<void>& KeptWorld() {
  static std::shared_ptr<void> kept;
  return kept;
}

// Built once for all runs of a table, and gone when another table's is built.
template <typename Table>
std::shared_ptr<World<Table>> WorldOf() {
  static std::weak_ptr<World<Table>> built;
  std::shared_ptr<World<Table>> world = built.lock();
  if (world == nullptr) {
    KeptWorld().reset();
    world = std::make_shared<World<Table>>();
    built = world;
    KeptWorld() = world;
  }
  return world;
}

template <typename Table>
void Find(benchmark::State& state) {
  // Set by the first thread before all begin, for all.
  static std::shared_ptr<World<Table>> world;
  static std::optional<PacedWriter> writer;
  if (state.thread_index() == 0) {
    world = WorldOf<Table>();
    if (state.range(0) != 0) {
      writer.emplace([] { return world->InsertNext(); });
    }
  }
  size_t next = static_cast<size_t>(state.thread_index()) * 7919;
  bool is_right = true;
  for (auto _ : state) {
    const auto& sought = world->sought[next++ % world->sought.size()];
    is_right &= world->table.Find(sought.name) == sought.value;
  }
  if (!is_right) {
    state.SkipWithError("found another element than was sought");
  }
  state.SetItemsProcessed(state.iterations());
  if (state.thread_index() == 0) {
    writer.reset();
    world.reset();
  }
}

template <typename Table>
void Insert(benchmark::State& state) {
  std::vector<std::unique_ptr<Element>> elements(kInserts);
  bool is_right = true;
  for (auto _ : state) {
    state.PauseTiming();
    for (uint64_t i = 0; i < kInserts; ++i) {
      elements[i] = NewElement(i);
    }
    auto table = std::make_unique<Table>();
    state.ResumeTiming();
    for (std::unique_ptr<Element>& element : elements) {
      is_right &= table->Insert(std::move(element));
    }
    state.PauseTiming();
    is_right &= table->Find(NewElement(kInserts - 1)->name) == kInserts - 1;
    table.reset();
    state.ResumeTiming();
  }
  if (!is_right) {
    state.SkipWithError("an element could not be inserted, or not be found");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kInserts));
}

#define KLATCH_BENCH_TABLE(find, insert)                                                     \
  BENCHMARK(find)->ArgName("writer")->Arg(0)->Arg(1)->Threads(1)->Threads(2)->UseRealTime(); \
  BENCHMARK(insert)->UseRealTime()

}  // namespace klatch::lockfree
