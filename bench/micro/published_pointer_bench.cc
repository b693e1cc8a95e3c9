// The published pointer with its epoch guard, beside a twin of a mutex and a shared_ptr, and the
// standard's atomic shared_ptr; libraries are in published_pointer_libraries.cc.

#include <atomic>
#include <mutex>

#include "bench/micro/published_pointer_workload.h"
#include "common/lockfree/published_pointer.h"

namespace klatch::lockfree {
namespace {

class Published {
 public:
  using Reader = NoReader;
  void Replace(List list) { list_.Replace(std::make_unique<const List>(std::move(list)), epochs_); }
  uint64_t Read() {
    const EpochReclaimer::Guard guard(epochs_);
    return SumOf(*list_.Load(guard));
  }

 private:
  EpochReclaimer epochs_;
  PublishedPointer<List> list_;
};

class MutexShared {
 public:
  using Reader = NoReader;
  void Replace(List list) {
    auto fresh = std::make_shared<const List>(std::move(list));
    const std::lock_guard lock(mutex_);
    list_.swap(fresh);  // the former one ends after the lock
  }
  uint64_t Read() {
    std::shared_ptr<const List> list;
    {
      const std::lock_guard lock(mutex_);
      list = list_;
    }
    return SumOf(*list);
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<const List> list_;  // guarded by mutex_
};

class AtomicShared {
 public:
  using Reader = NoReader;
  void Replace(List list) {
    list_.store(std::make_shared<const List>(std::move(list)), std::memory_order_release);
  }
  // Acquire: the list that its store published is whole.
  uint64_t Read() { return SumOf(*list_.load(std::memory_order_acquire)); }

 private:
  std::atomic<std::shared_ptr<const List>> list_;
};

void BM_PublishedPointer_Read(benchmark::State& state) { Read<Published>(state); }
void BM_PublishedPointer_Replace(benchmark::State& state) { Replace<Published>(state); }
void BM_MutexSharedPtr_Read(benchmark::State& state) { Read<MutexShared>(state); }
void BM_MutexSharedPtr_Replace(benchmark::State& state) { Replace<MutexShared>(state); }
void BM_StdAtomicSharedPtr_Read(benchmark::State& state) { Read<AtomicShared>(state); }
void BM_StdAtomicSharedPtr_Replace(benchmark::State& state) { Replace<AtomicShared>(state); }

KLATCH_BENCH_POINTER(BM_PublishedPointer_Read, BM_PublishedPointer_Replace);
KLATCH_BENCH_POINTER(BM_MutexSharedPtr_Read, BM_MutexSharedPtr_Replace);
KLATCH_BENCH_POINTER(BM_StdAtomicSharedPtr_Read, BM_StdAtomicSharedPtr_Replace);

}  // namespace
}  // namespace klatch::lockfree
