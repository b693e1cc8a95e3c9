// The epoch reclaimer beside a twin of std::shared_mutex, under which readers share and who retires
// deletes at once; liburcu is in epoch_libraries.cc.

#include <mutex>
#include <shared_mutex>

#include "bench/micro/epoch_workload.h"
#include "common/lockfree/epoch.h"

namespace klatch::lockfree {
namespace {

class Epochs {
 public:
  using Reader = NoReader;
  template <typename F>
  uint64_t Pinned(const F& f) {
    const EpochReclaimer::Guard guard(epochs_);
    return f();
  }
  void Retire(std::unique_ptr<Retired> object) { epochs_.Retire(object.release()); }
  void Reclaim() { epochs_.TryReclaim(); }

 private:
  EpochReclaimer epochs_;
};

class SharedMutex {
 public:
  using Reader = NoReader;
  template <typename F>
  uint64_t Pinned(const F& f) {
    const std::shared_lock lock(mutex_);
    return f();
  }
  void Retire(std::unique_ptr<Retired> object) {
    const std::unique_lock lock(mutex_);
    object.reset();
  }
  void Reclaim() {}

 private:
  std::shared_mutex mutex_;
};

void BM_EpochReclaimer_Pin(benchmark::State& state) { Pin<Epochs>(state); }
void BM_EpochReclaimer_Retire(benchmark::State& state) { Retire<Epochs>(state); }
void BM_SharedMutex_Pin(benchmark::State& state) { Pin<SharedMutex>(state); }
void BM_SharedMutex_Retire(benchmark::State& state) { Retire<SharedMutex>(state); }

KLATCH_BENCH_RECLAIMER(BM_EpochReclaimer_Pin, BM_EpochReclaimer_Retire);
KLATCH_BENCH_RECLAIMER(BM_SharedMutex_Pin, BM_SharedMutex_Retire);

}  // namespace
}  // namespace klatch::lockfree
