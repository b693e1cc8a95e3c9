// The broadcast ring beside a mutex twin with a deque per consumer; libraries are in
// broadcast_ring_libraries.cc.

#include <condition_variable>
#include <deque>
#include <mutex>

#include "bench/micro/broadcast_ring_workload.h"
#include "common/lockfree/broadcast_ring.h"

namespace klatch::lockfree {
namespace {

class Ring {
 public:
  explicit Ring(size_t consumers) : ring_(kSlots, consumers) {}

  void Publish(uint64_t first, size_t count) {
    for (uint64_t next = first; next < first + count;) {
      for (Item* item = nullptr; next < first + count && (item = ring_.TryClaim()) != nullptr;) {
        *item = ItemOf(next++);
      }
      ring_.Publish();
      if (next < first + count) {
        ring_.WaitForRoom(kPatience);
      }
    }
  }

  template <typename F>
  size_t Take(size_t consumer, const F& f) {
    size_t count = ring_.Poll(consumer, f, kBatch);
    for (; count == 0; count = ring_.Poll(consumer, f, kBatch)) {
      ring_.WaitForItems(consumer, kPatience);
    }
    return count;
  }

 private:
  BroadcastRing<Item> ring_;
};

// The twin: one mutex, a deque per consumer, each bounded like the ring.
class MutexBroadcast {
 public:
  explicit MutexBroadcast(size_t consumers) : queues_(consumers), taken_(consumers) {}

  void Publish(uint64_t first, size_t count) {
    batch_.clear();
    for (uint64_t next = first; next < first + count; ++next) {
      batch_.push_back(ItemOf(next));
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] {
      return std::all_of(queues_.begin(), queues_.end(), [&](const std::deque<Item>& queue) {
        return queue.size() + count <= kSlots;
      });
    });
    for (std::deque<Item>& queue : queues_) {
      queue.insert(queue.end(), batch_.begin(), batch_.end());
    }
    changed_.notify_all();
  }

  template <typename F>
  size_t Take(size_t consumer, const F& f) {
    std::vector<Item>& taken = taken_[consumer];
    {
      std::unique_lock lock(mutex_);
      std::deque<Item>& queue = queues_[consumer];
      changed_.wait(lock, [&] { return !queue.empty(); });
      const auto end = queue.begin() + static_cast<std::ptrdiff_t>(std::min(queue.size(), kBatch));
      taken.assign(queue.begin(), end);
      queue.erase(queue.begin(), end);
      changed_.notify_all();
    }
    std::for_each(taken.begin(), taken.end(), f);
    return taken.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::deque<Item>> queues_;  // guarded by mutex_
  std::vector<Item> batch_;               // the producer's own
  std::vector<std::vector<Item>> taken_;  // by consumer; its own
};

void BM_BroadcastRing_Handover(benchmark::State& state) { Handover<Ring>(state); }
void BM_MutexBroadcast_Handover(benchmark::State& state) { Handover<MutexBroadcast>(state); }

KLATCH_BENCH_HANDOVER(BM_BroadcastRing_Handover);
KLATCH_BENCH_HANDOVER(BM_MutexBroadcast_Handover);

}  // namespace
}  // namespace klatch::lockfree
