// No library has a ring that one thread overwrites while others copy its newest entries. The nearest
// are Boost's circular buffer, which overwrites, under a mutex; and its queue for one producer and one
// consumer, where the writer is the consumer too: it drops the oldest itself, and nobody can look at the
// newest.

#include <boost/circular_buffer.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <mutex>

#include "bench/micro/timeline_ring_workload.h"

namespace klatch::lockfree {
namespace {

class CircularBuffers {
 public:
  explicit CircularBuffers(size_t persons) : timelines_(persons) {
    for (Timeline& timeline : timelines_) {
      for (uint64_t id = 1; id <= kEntries; ++id) {
        timeline.entries.push_back({id, 0, 0});
      }
    }
  }
  void Append(uint32_t person, const TimelineEntry& entry) {
    Timeline& timeline = timelines_[person];
    const std::lock_guard lock(timeline.mutex);
    timeline.floor = std::max(timeline.floor, timeline.entries.front().id);
    timeline.entries.push_back(entry);
  }
  bool CopyNewest(uint32_t person, std::vector<TimelineEntry>& out) {
    Timeline& timeline = timelines_[person];
    const std::lock_guard lock(timeline.mutex);
    out.assign(timeline.entries.end() - static_cast<std::ptrdiff_t>(kNewest),
               timeline.entries.end());
    return true;
  }

 private:
  struct Timeline {
    std::mutex mutex;
    // Guarded by mutex.
    uint64_t floor = 0;
    boost::circular_buffer<TimelineEntry> entries{kEntries};
  };

  std::vector<Timeline> timelines_;
};

class SpscQueues {
 public:
  explicit SpscQueues(size_t persons) : timelines_(persons) {
    for (Timeline& timeline : timelines_) {
      for (uint64_t id = 1; id <= kEntries; ++id) {
        timeline.entries.push({id, 0, 0});
      }
    }
  }
  void Append(uint32_t person, const TimelineEntry& entry) {
    Timeline& timeline = timelines_[person];
    TimelineEntry oldest;
    timeline.entries.pop(oldest);
    timeline.floor = std::max(timeline.floor, oldest.id);
    timeline.entries.push(entry);
  }

 private:
  struct Timeline {
    uint64_t floor = 0;
    boost::lockfree::spsc_queue<TimelineEntry, boost::lockfree::capacity<kEntries>> entries;
  };

  std::vector<Timeline> timelines_;
};

void BM_BoostCircularBuffer_ReadNewest20_UnderAWriter(benchmark::State& state) {
  ReadNewest20UnderAWriter<CircularBuffers>(state);
}
void BM_BoostCircularBuffer_AppendPost(benchmark::State& state) {
  AppendPost<CircularBuffers>(state);
}
void BM_BoostCircularBuffer_ReadNewest20(benchmark::State& state) {
  ReadNewest20<CircularBuffers>(state);
}
void BM_BoostSpscQueue_AppendPost(benchmark::State& state) { AppendPost<SpscQueues>(state); }

BENCHMARK(BM_BoostCircularBuffer_ReadNewest20_UnderAWriter)->UseRealTime();

#define KLATCH_BENCH_WORLDS(persons)                                    \
  KLATCH_BENCH_TIMELINES(BM_BoostCircularBuffer_AppendPost, persons);   \
  KLATCH_BENCH_TIMELINES(BM_BoostCircularBuffer_ReadNewest20, persons); \
  KLATCH_BENCH_TIMELINES(BM_BoostSpscQueue_AppendPost, persons)

KLATCH_BENCH_WORLDS(100'000);
KLATCH_BENCH_WORLDS(1'000'000);

}  // namespace
}  // namespace klatch::lockfree
