// Deliveries: one post appended to the timelines of 400 random persons, over 100,000 and 1,000,000
// full rings of 256 entries (410 MB and 4.1 GB). Beside it a mutex twin, and the floor that memory
// sets: 400 random writes of 16 bytes over the same arena. Then reads of the newest 20, also of one
// ring whose writer never rests.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "common/lockfree/timeline_ring.h"

namespace klatch::lockfree {
namespace {

constexpr size_t kGroupSize = 400;
constexpr size_t kGroups = 4096;
constexpr uint64_t kEntries = 256;
constexpr size_t kNewest = 20;

using Group = std::vector<uint32_t>;

std::vector<Group> RandomGroups(size_t persons) {
  std::mt19937 random(1);
  std::vector<Group> groups(kGroups, Group(kGroupSize));
  for (Group& group : groups) {
    for (uint32_t& person : group) {
      person = static_cast<uint32_t>(random() % persons);
    }
  }
  return groups;
}

// All rings full and flushed: the state of a service that has run for a while, where each append
// overwrites.
class World {
 public:
  explicit World(size_t persons)
      : arena(persons * kEntries * kTimelineEntryBytes * 11 / 8), rings(persons) {
    std::vector<TimelineEntry> entries;
    for (TimelineRing& ring : rings) {
      for (uint64_t id = 1; id <= kEntries; ++id) {
        ring.Append(arena, {id, 0, 0});
      }
      ring.CopyUnflushed(arena, entries);
      // Beyond the head, so that the bench needs no flusher: everything to come counts as flushed.
      ring.MarkFlushed(UINT64_MAX / 2);
    }
  }

  RingArena arena;
  std::vector<TimelineRing> rings;
};

// One world at a time: the greater one fills a small machine.
World& WorldOf(size_t persons) {
  static std::unique_ptr<World> world;
  if (world == nullptr || world->rings.size() != persons) {
    world.reset();
    world = std::make_unique<World>(persons);
  }
  return *world;
}

void CountDeliveries(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kGroupSize));
}

void BM_TimelineRing_AppendPost(benchmark::State& state) {
  World& world = WorldOf(static_cast<size_t>(state.range(0)));
  const std::vector<Group> groups = RandomGroups(world.rings.size());
  uint64_t id = kEntries;
  for (auto _ : state) {
    ++id;
    for (const uint32_t person : groups[id % kGroups]) {
      world.rings[person].Append(world.arena, {id, 1, 0});
    }
  }
  CountDeliveries(state);
}

void BM_TimelineRing_AppendPost_Prefetched(benchmark::State& state) {
  constexpr size_t kRingAhead = 16;
  constexpr size_t kSlotAhead = 8;
  World& world = WorldOf(static_cast<size_t>(state.range(0)));
  const std::vector<Group> groups = RandomGroups(world.rings.size());
  uint64_t id = kEntries;
  for (auto _ : state) {
    ++id;
    const Group& group = groups[id % kGroups];
    for (size_t i = 0; i < kGroupSize; ++i) {
      if (i + kRingAhead < kGroupSize) {
        __builtin_prefetch(&world.rings[group[i + kRingAhead]], 1);
      }
      if (i + kSlotAhead < kGroupSize) {
        world.rings[group[i + kSlotAhead]].PrefetchNextSlot(world.arena);
      }
      world.rings[group[i]].Append(world.arena, {id, 1, 0});
    }
  }
  CountDeliveries(state);
}

void BM_TimelineRing_ReadNewest20(benchmark::State& state) {
  World& world = WorldOf(static_cast<size_t>(state.range(0)));
  std::mt19937 random(2);
  std::vector<TimelineEntry> entries;
  for (auto _ : state) {
    uint64_t floor = 0;
    const TimelineRing& ring = world.rings[random() % world.rings.size()];
    benchmark::DoNotOptimize(ring.CopyNewest(world.arena, entries, kNewest, &floor));
  }
  state.SetItemsProcessed(state.iterations());
}

// The floor: what the arena's memory takes, with nothing else around it.
void BM_RawMemory_Write16BytesAtRandom(benchmark::State& state) {
  World& world = WorldOf(static_cast<size_t>(state.range(0)));
  const std::vector<Group> groups = RandomGroups(world.rings.size());
  uint64_t id = kEntries;
  for (auto _ : state) {
    ++id;
    for (const uint32_t person : groups[id % kGroups]) {
      std::atomic<uint64_t>* slot =
          world.arena.WordsAt((person * kEntries + id % kEntries) * kTimelineEntryBytes);
      // Relaxed: nobody reads them, only the traffic counts.
      slot[0].store(id, std::memory_order_relaxed);
      slot[1].store(1, std::memory_order_relaxed);
    }
  }
  CountDeliveries(state);
}

// The twin: the same ring of 256 entries, each under its own mutex.
class MutexRing {
 public:
  MutexRing() : entries_(kEntries) {}
  void Append(const TimelineEntry& entry) {
    const std::lock_guard lock(mutex_);
    TimelineEntry& slot = entries_[head_++ % kEntries];
    floor_ = std::max(floor_, slot.id);
    slot = entry;
  }
  void CopyNewest(std::vector<TimelineEntry>& out, uint64_t* floor) const {
    const std::lock_guard lock(mutex_);
    out.clear();
    for (uint64_t i = head_ - std::min<uint64_t>(head_, kNewest); i < head_; ++i) {
      out.push_back(entries_[i % kEntries]);
    }
    *floor = floor_;
  }

 private:
  mutable std::mutex mutex_;
  uint64_t head_ = kEntries;
  uint64_t floor_ = 0;
  std::vector<TimelineEntry> entries_;
};

std::vector<MutexRing>& MutexRingsOf(size_t persons) {
  WorldOf(1);  // gives the other world's memory back
  static std::unique_ptr<std::vector<MutexRing>> rings;
  if (rings == nullptr || rings->size() != persons) {
    rings.reset();
    rings = std::make_unique<std::vector<MutexRing>>(persons);
  }
  return *rings;
}

void BM_MutexRing_AppendPost(benchmark::State& state) {
  std::vector<MutexRing>& rings = MutexRingsOf(static_cast<size_t>(state.range(0)));
  const std::vector<Group> groups = RandomGroups(rings.size());
  uint64_t id = kEntries;
  for (auto _ : state) {
    ++id;
    for (const uint32_t person : groups[id % kGroups]) {
      rings[person].Append({id, 1, 0});
    }
  }
  CountDeliveries(state);
}

void BM_MutexRing_ReadNewest20(benchmark::State& state) {
  std::vector<MutexRing>& rings = MutexRingsOf(static_cast<size_t>(state.range(0)));
  std::mt19937 random(2);
  std::vector<TimelineEntry> entries;
  for (auto _ : state) {
    uint64_t floor = 0;
    rings[random() % rings.size()].CopyNewest(entries, &floor);
    benchmark::DoNotOptimize(entries.data());
  }
  state.SetItemsProcessed(state.iterations());
}

// Reads one ring while another thread appends to it all the time: append() and read() are called
// over and over, each by its own thread.
template <typename Append, typename Read>
void ReadUnderAWriter(benchmark::State& state, const Append& append, const Read& read) {
  std::atomic<bool> stopping{false};
  std::thread writer([&] {
    for (uint64_t id = kEntries + 1; !stopping.load(std::memory_order_relaxed); ++id) {
      append(TimelineEntry{id, 1, 0});
    }
  });
  for (auto _ : state) {
    read();
  }
  stopping.store(true, std::memory_order_relaxed);
  writer.join();
  state.SetItemsProcessed(state.iterations());
}

void BM_TimelineRing_ReadNewest20_UnderAWriter(benchmark::State& state) {
  World world(1);
  TimelineRing& ring = world.rings[0];
  std::vector<TimelineEntry> entries;
  int64_t refused = 0;
  ReadUnderAWriter(
      state, [&](const TimelineEntry& entry) { ring.Append(world.arena, entry); },
      [&] {
        uint64_t floor = 0;
        refused += ring.CopyNewest(world.arena, entries, kNewest, &floor) ? 0 : 1;
      });
  state.counters["refused"] = static_cast<double>(refused);
}

void BM_MutexRing_ReadNewest20_UnderAWriter(benchmark::State& state) {
  MutexRing ring;
  std::vector<TimelineEntry> entries;
  ReadUnderAWriter(
      state, [&](const TimelineEntry& entry) { ring.Append(entry); },
      [&] {
        uint64_t floor = 0;
        ring.CopyNewest(entries, &floor);
        benchmark::DoNotOptimize(entries.data());
      });
}

BENCHMARK(BM_TimelineRing_ReadNewest20_UnderAWriter)->UseRealTime();
BENCHMARK(BM_MutexRing_ReadNewest20_UnderAWriter)->UseRealTime();

// In the order of their worlds, so that each is built once.
#define KLATCH_BENCH_WORLD(persons)                                                              \
  BENCHMARK(BM_RawMemory_Write16BytesAtRandom)->ArgName("persons")->Arg(persons)->UseRealTime(); \
  BENCHMARK(BM_TimelineRing_AppendPost)->ArgName("persons")->Arg(persons)->UseRealTime();        \
  BENCHMARK(BM_TimelineRing_AppendPost_Prefetched)                                               \
      ->ArgName("persons")                                                                       \
      ->Arg(persons)                                                                             \
      ->UseRealTime();                                                                           \
  BENCHMARK(BM_TimelineRing_ReadNewest20)->ArgName("persons")->Arg(persons)->UseRealTime();      \
  BENCHMARK(BM_MutexRing_AppendPost)->ArgName("persons")->Arg(persons)->UseRealTime();           \
  BENCHMARK(BM_MutexRing_ReadNewest20)->ArgName("persons")->Arg(persons)->UseRealTime()

KLATCH_BENCH_WORLD(100'000);
KLATCH_BENCH_WORLD(1'000'000);

}  // namespace
}  // namespace klatch::lockfree
