// Boost's atomic shared_ptr, and a plain atomic pointer under liburcu, on the same job.

#include <atomic>
#include <boost/smart_ptr/atomic_shared_ptr.hpp>
#include <boost/smart_ptr/make_shared.hpp>

#include "bench/micro/published_pointer_workload.h"
#include "bench/micro/urcu.h"

namespace klatch::lockfree {
namespace {

// Behind it is a spinlock, whatever the order that it is given.
class BoostShared {
 public:
  using Reader = NoReader;
  void Replace(List list) { list_.store(boost::make_shared<const List>(std::move(list))); }
  uint64_t Read() { return SumOf(*list_.load()); }

 private:
  boost::atomic_shared_ptr<const List> list_;
};

class Urcu {
 public:
  using Reader = UrcuThread;
  ~Urcu() { delete list_.load(std::memory_order_relaxed); }
  void Replace(List list) {
    // Relaxed: its own store. Release publishes the list to readers, who load with acquire.
    std::unique_ptr<const List> former(list_.load(std::memory_order_relaxed));
    list_.store(new List(std::move(list)), std::memory_order_release);
    limbo_.Retire(std::move(former));
  }
  uint64_t Read() {
    const UrcuGuard guard;
    return SumOf(*list_.load(std::memory_order_acquire));
  }

 private:
  std::atomic<const List*> list_{nullptr};
  UrcuLimbo<List> limbo_;
};

void BM_BoostAtomicSharedPtr_Read(benchmark::State& state) { Read<BoostShared>(state); }
void BM_BoostAtomicSharedPtr_Replace(benchmark::State& state) { Replace<BoostShared>(state); }
void BM_UrcuPointer_Read(benchmark::State& state) { Read<Urcu>(state); }
void BM_UrcuPointer_Replace(benchmark::State& state) { Replace<Urcu>(state); }

KLATCH_BENCH_POINTER(BM_BoostAtomicSharedPtr_Read, BM_BoostAtomicSharedPtr_Replace);
KLATCH_BENCH_POINTER(BM_UrcuPointer_Read, BM_UrcuPointer_Replace);

}  // namespace
}  // namespace klatch::lockfree
