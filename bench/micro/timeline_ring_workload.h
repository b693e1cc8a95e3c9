#pragma once
// What all timelines of timeline_ring_bench are measured with: one post appended to the timelines of 400
// random persons, over 100,000 and 1,000,000 full rings of 256 entries (410 MB and 4.1 GB); then reads
// of the newest 20, also of one timeline whose writer never rests.
//
// Timelines are made with the number of persons, full of entries with ids 1 to kEntries, and have
//   void Append(uint32_t person, const TimelineEntry&)
//   bool CopyNewest(uint32_t person, std::vector<TimelineEntry>&)     at most kNewest; whether it could

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "common/lockfree/timeline_ring.h"

namespace klatch::lockfree {

constexpr size_t kGroupSize = 400;
constexpr size_t kGroups = 4096;
constexpr uint64_t kEntries = 256;
constexpr size_t kNewest = 20;

using Group = std::vector<uint32_t>;

inline std::vector<Group> RandomGroups(size_t persons) {
  std::mt19937 random(1);
  std::vector<Group> groups(kGroups, Group(kGroupSize));
  for (Group& group : groups) {
    for (uint32_t& person : group) {
      person = static_cast<uint32_t>(random() % persons);
    }
  }
  return groups;
}

// Timelines, and the greatest id that was appended to them.
template <typename Timelines>
struct World {
  explicit World(size_t count) : persons(count), timelines(count) {}

  size_t persons;
  Timelines timelines;
  uint64_t id = kEntries;
};

inline std::shared_ptr<void>& KeptWorld() {
  static std::shared_ptr<void> kept;
  return kept;
}

// Built once for all runs behind one another, and gone when another one is built: the greater ones fill
// a small machine.
template <typename Timelines>
std::shared_ptr<World<Timelines>> WorldOf(size_t persons) {
  static std::weak_ptr<World<Timelines>> built;
  std::shared_ptr<World<Timelines>> world = built.lock();
  if (world == nullptr || world->persons != persons) {
    world.reset();
    KeptWorld().reset();
    world = std::make_shared<World<Timelines>>(persons);
    built = world;
    KeptWorld() = world;
  }
  return world;
}

inline bool AreNewest(const std::vector<TimelineEntry>& entries) {
  return entries.size() == kNewest &&
         std::is_sorted(entries.begin(), entries.end(),
                        [](const auto& a, const auto& b) { return a.id < b.id; });
}

// append(world, group, id) appends the post `id` to the timelines of the group. The last post is
// looked for at each of its recipients, where the timelines can be read.
template <typename Timelines, typename Append>
void AppendPost(benchmark::State& state, const Append& append) {
  const auto world = WorldOf<Timelines>(static_cast<size_t>(state.range(0)));
  const std::vector<Group> groups = RandomGroups(world->persons);
  for (auto _ : state) {
    const uint64_t id = ++world->id;
    append(world->timelines, groups[id % kGroups], id);
  }
  if constexpr (requires(std::vector<TimelineEntry> entries) {
                  world->timelines.CopyNewest(0, entries);
                }) {
    std::vector<TimelineEntry> entries;
    for (const uint32_t person : groups[world->id % kGroups]) {
      if (!world->timelines.CopyNewest(person, entries) || !AreNewest(entries) ||
          entries.back().id != world->id) {
        state.SkipWithError("a recipient lacks the last post");
        break;
      }
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kGroupSize));
}

template <typename Timelines>
void AppendPost(benchmark::State& state) {
  AppendPost<Timelines>(state, [](Timelines& timelines, const Group& group, uint64_t id) {
    for (const uint32_t person : group) {
      timelines.Append(person, {id, 1, 0});
    }
  });
}

template <typename Timelines>
void ReadNewest20(benchmark::State& state) {
  const auto world = WorldOf<Timelines>(static_cast<size_t>(state.range(0)));
  std::mt19937 random(2);
  std::vector<TimelineEntry> entries;
  bool is_right = true;
  for (auto _ : state) {
    const auto person = static_cast<uint32_t>(random() % world->persons);
    is_right &= world->timelines.CopyNewest(person, entries) && AreNewest(entries);
  }
  if (!is_right) {
    state.SkipWithError("read something else than the newest 20");
  }
  state.SetItemsProcessed(state.iterations());
}

// Reads one timeline while another thread appends to it all the time. A read may be refused; `refused`
// counts them.
template <typename Timelines>
void ReadNewest20UnderAWriter(benchmark::State& state) {
  Timelines timelines(1);
  std::atomic<bool> stopping{false};
  std::thread writer([&] {
    for (uint64_t id = kEntries + 1; !stopping.load(std::memory_order_relaxed); ++id) {
      timelines.Append(0, {id, 1, 0});
    }
  });
  std::vector<TimelineEntry> entries;
  int64_t refused = 0;
  bool is_right = true;
  for (auto _ : state) {
    if (timelines.CopyNewest(0, entries)) {
      // Ids are consecutive. Some of the oldest may have been overwritten meanwhile.
      is_right &= !entries.empty() && entries.back().id - entries.front().id == entries.size() - 1;
    } else {
      ++refused;
    }
  }
  stopping.store(true, std::memory_order_relaxed);
  writer.join();
  if (!is_right) {
    state.SkipWithError("read something else than the newest entries");
  }
  state.counters["refused"] = static_cast<double>(refused);
  state.SetItemsProcessed(state.iterations());
}

}  // namespace klatch::lockfree

#define KLATCH_BENCH_TIMELINES(name, persons) \
  BENCHMARK(name)->ArgName("persons")->Arg(persons)->UseRealTime()
