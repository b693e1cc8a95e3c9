// The timeline ring beside a mutex twin, and the floor that memory sets: as many random writes of 16
// bytes over the same memory. Libraries are in timeline_ring_libraries.cc.

#include <mutex>

#include "bench/micro/timeline_ring_workload.h"
#include "common/lockfree/timeline_ring.h"

namespace klatch::lockfree {
namespace {

// All rings full and flushed: the state of a service that has run for a while, where each append
// overwrites.
class Rings {
 public:
  explicit Rings(size_t persons)
      : arena_(persons * kEntries * kTimelineEntryBytes * 11 / 8), rings_(persons) {
    std::vector<TimelineEntry> entries;
    for (TimelineRing& ring : rings_) {
      for (uint64_t id = 1; id <= kEntries; ++id) {
        ring.Append(arena_, {id, 0, 0});
      }
      ring.CopyUnflushed(arena_, entries);
      // Beyond the head, so that the bench needs no flusher: everything to come counts as flushed.
      ring.MarkFlushed(UINT64_MAX / 2);
    }
  }

  void Append(uint32_t person, const TimelineEntry& entry) { rings_[person].Append(arena_, entry); }
  bool CopyNewest(uint32_t person, std::vector<TimelineEntry>& out) const {
    uint64_t floor = 0;
    return rings_[person].CopyNewest(arena_, out, kNewest, &floor);
  }

  void PrefetchRing(uint32_t person) const { __builtin_prefetch(&rings_[person], 1); }
  void PrefetchNextSlot(uint32_t person) const { rings_[person].PrefetchNextSlot(arena_); }

 private:
  RingArena arena_;
  std::vector<TimelineRing> rings_;
};

// As the worker does it.
void AppendPrefetched(Rings& rings, const Group& group, uint64_t id) {
  constexpr size_t kRingAhead = 16;
  constexpr size_t kSlotAhead = 8;
  for (size_t i = 0; i < kGroupSize; ++i) {
    if (i + kRingAhead < kGroupSize) {
      rings.PrefetchRing(group[i + kRingAhead]);
    }
    if (i + kSlotAhead < kGroupSize) {
      rings.PrefetchNextSlot(group[i + kSlotAhead]);
    }
    rings.Append(group[i], {id, 1, 0});
  }
}

// The floor: what the memory takes, with nothing else around it. Can't be read: nobody knows where the
// newest is.
class RawMemory {
 public:
  explicit RawMemory(size_t persons) : arena_(persons * kEntries * kTimelineEntryBytes) {
    for (uint32_t person = 0; person < persons; ++person) {
      for (uint64_t id = 1; id <= kEntries; ++id) {
        Append(person, {id, 0, 0});
      }
    }
  }
  void Append(uint32_t person, const TimelineEntry& entry) {
    std::atomic<uint64_t>* slot =
        arena_.WordsAt((person * kEntries + entry.id % kEntries) * kTimelineEntryBytes);
    // Relaxed: nobody reads them, only the traffic counts.
    slot[0].store(entry.id, std::memory_order_relaxed);
    slot[1].store(entry.group, std::memory_order_relaxed);
  }

 private:
  RingArena arena_;
};

// The twin: the same ring of 256 entries, each under its own mutex.
class MutexRings {
 public:
  explicit MutexRings(size_t persons) : rings_(persons) {
    for (Ring& ring : rings_) {
      ring.entries.resize(kEntries);
      for (uint64_t id = 1; id <= kEntries; ++id) {
        ring.entries[id - 1] = {id, 0, 0};
      }
    }
  }
  void Append(uint32_t person, const TimelineEntry& entry) {
    Ring& ring = rings_[person];
    const std::lock_guard lock(ring.mutex);
    TimelineEntry& slot = ring.entries[ring.head++ % kEntries];
    ring.floor = std::max(ring.floor, slot.id);
    slot = entry;
  }
  bool CopyNewest(uint32_t person, std::vector<TimelineEntry>& out) {
    Ring& ring = rings_[person];
    out.clear();
    const std::lock_guard lock(ring.mutex);
    for (uint64_t i = ring.head - kNewest; i < ring.head; ++i) {
      out.push_back(ring.entries[i % kEntries]);
    }
    return true;
  }

 private:
  struct Ring {
    std::mutex mutex;
    // Guarded by mutex.
    uint64_t head = kEntries;
    uint64_t floor = 0;
    std::vector<TimelineEntry> entries;
  };

  std::vector<Ring> rings_;
};

void BM_TimelineRing_ReadNewest20_UnderAWriter(benchmark::State& state) {
  ReadNewest20UnderAWriter<Rings>(state);
}
void BM_MutexRing_ReadNewest20_UnderAWriter(benchmark::State& state) {
  ReadNewest20UnderAWriter<MutexRings>(state);
}
void BM_RawMemory_AppendPost(benchmark::State& state) { AppendPost<RawMemory>(state); }
void BM_TimelineRing_AppendPost(benchmark::State& state) { AppendPost<Rings>(state); }
void BM_TimelineRing_AppendPost_Prefetched(benchmark::State& state) {
  AppendPost<Rings>(state, AppendPrefetched);
}
void BM_TimelineRing_ReadNewest20(benchmark::State& state) { ReadNewest20<Rings>(state); }
void BM_MutexRing_AppendPost(benchmark::State& state) { AppendPost<MutexRings>(state); }
void BM_MutexRing_ReadNewest20(benchmark::State& state) { ReadNewest20<MutexRings>(state); }

BENCHMARK(BM_TimelineRing_ReadNewest20_UnderAWriter)->UseRealTime();
BENCHMARK(BM_MutexRing_ReadNewest20_UnderAWriter)->UseRealTime();

// In the order of their worlds, so that each is built once.
#define KLATCH_BENCH_WORLDS(persons)                                      \
  KLATCH_BENCH_TIMELINES(BM_RawMemory_AppendPost, persons);               \
  KLATCH_BENCH_TIMELINES(BM_TimelineRing_AppendPost, persons);            \
  KLATCH_BENCH_TIMELINES(BM_TimelineRing_AppendPost_Prefetched, persons); \
  KLATCH_BENCH_TIMELINES(BM_TimelineRing_ReadNewest20, persons);          \
  KLATCH_BENCH_TIMELINES(BM_MutexRing_AppendPost, persons);               \
  KLATCH_BENCH_TIMELINES(BM_MutexRing_ReadNewest20, persons)

KLATCH_BENCH_WORLDS(100'000);
KLATCH_BENCH_WORLDS(1'000'000);

}  // namespace
}  // namespace klatch::lockfree
