// None of the libraries has one producer whose items all consumers see, so each consumer has a queue
// of the library's for one producer and one consumer, of as many items as the ring. They are waited
// for as the ring is: by our bell, for none of them sleeps by itself.

#include <atomic_queue/atomic_queue.h>
#include <readerwriterqueue/readerwriterqueue.h>

#include <boost/lockfree/spsc_queue.hpp>
#include <memory>
#include <span>

#include "bench/micro/broadcast_ring_workload.h"
#include "common/lockfree/doorbell.h"

namespace klatch::lockfree {
namespace {

// A Queue pushes as many of a span as there is room for, and pops at most kBatch items to a function;
// both return how many that were.
template <typename Queue>
class QueuePerConsumer {
 public:
  explicit QueuePerConsumer(size_t consumers) {
    for (size_t i = 0; i < consumers; ++i) {
      queues_.push_back(std::make_unique<Queue>());
    }
  }

  void Publish(uint64_t first, size_t count) {
    batch_.clear();
    for (uint64_t next = first; next < first + count; ++next) {
      batch_.push_back(ItemOf(next));
    }
    for (const std::unique_ptr<Queue>& queue : queues_) {
      for (std::span<const Item> left = batch_; !left.empty();) {
        const uint32_t seen = room_bell_.Seen();
        const size_t pushed = queue->Push(left);
        left = left.subspan(pushed);
        if (pushed == 0) {
          // Those who come first in line have got theirs already.
          items_bell_.Ring();
          room_bell_.WaitFor(seen, kPatience);
        }
      }
    }
    items_bell_.Ring();
  }

  template <typename F>
  size_t Take(size_t consumer, const F& f) {
    while (true) {
      const uint32_t seen = items_bell_.Seen();
      const size_t count = queues_[consumer]->Pop(f);
      if (count != 0) {
        room_bell_.Ring();
        return count;
      }
      items_bell_.WaitFor(seen, kPatience);
    }
  }

 private:
  std::vector<std::unique_ptr<Queue>> queues_;
  Doorbell items_bell_;
  Doorbell room_bell_;
  std::vector<Item> batch_;  // the producer's own
};

class BoostQueue {
 public:
  size_t Push(std::span<const Item> items) { return queue_.push(items.data(), items.size()); }

  template <typename F>
  size_t Pop(const F& f) {
    const size_t count = queue_.pop(taken_, kBatch);
    std::for_each(taken_, taken_ + count, f);
    return count;
  }

 private:
  boost::lockfree::spsc_queue<Item, boost::lockfree::capacity<kSlots>> queue_;
  Item taken_[kBatch];  // the consumer's own
};

// Of queues that take and give one item at a time.
template <typename TryPush>
size_t PushEach(std::span<const Item> items, const TryPush& try_push) {
  size_t pushed = 0;
  while (pushed < items.size() && try_push(items[pushed])) {
    ++pushed;
  }
  return pushed;
}
template <typename TryPop, typename F>
size_t PopEach(const TryPop& try_pop, const F& f) {
  size_t popped = 0;
  for (Item item; popped < kBatch && try_pop(item); ++popped) {
    f(item);
  }
  return popped;
}

class MoodycamelQueue {
 public:
  size_t Push(std::span<const Item> items) {
    return PushEach(items, [this](const Item& item) { return queue_.try_enqueue(item); });
  }
  template <typename F>
  size_t Pop(const F& f) {
    return PopEach([this](Item& item) { return queue_.try_dequeue(item); }, f);
  }

 private:
  moodycamel::ReaderWriterQueue<Item> queue_{kSlots};
};

class AtomicQueue {
 public:
  size_t Push(std::span<const Item> items) {
    return PushEach(items, [this](const Item& item) { return queue_.try_push(item); });
  }
  template <typename F>
  size_t Pop(const F& f) {
    return PopEach([this](Item& item) { return queue_.try_pop(item); }, f);
  }

 private:
  // The last argument: one producer and one consumer, as which it is fastest.
  atomic_queue::AtomicQueue2<Item, kSlots, true, true, false, true> queue_;
};

void BM_BoostSpscQueues_Handover(benchmark::State& state) {
  Handover<QueuePerConsumer<BoostQueue>>(state);
}
void BM_MoodycamelReaderWriterQueues_Handover(benchmark::State& state) {
  Handover<QueuePerConsumer<MoodycamelQueue>>(state);
}
void BM_AtomicQueues_Handover(benchmark::State& state) {
  Handover<QueuePerConsumer<AtomicQueue>>(state);
}

KLATCH_BENCH_HANDOVER(BM_BoostSpscQueues_Handover);
KLATCH_BENCH_HANDOVER(BM_MoodycamelReaderWriterQueues_Handover);
KLATCH_BENCH_HANDOVER(BM_AtomicQueues_Handover);

}  // namespace
}  // namespace klatch::lockfree
