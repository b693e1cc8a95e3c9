// The doorbell beside a twin of mutex and condition variable, and what the standard has for it; a
// library's is in doorbell_libraries.cc. A semaphore wakes one sleeper for each ring, so it can only
// take the doorbell's place where there is one.

#include <condition_variable>
#include <mutex>
#include <semaphore>

#include "bench/micro/doorbell_workload.h"
#include "common/lockfree/doorbell.h"

namespace klatch::lockfree {
namespace {

class MutexBell {
 public:
  void Ring() {
    {
      const std::lock_guard lock(mutex_);
      ++rings_;
    }
    rung_.notify_all();
  }
  uint32_t Seen() const {
    const std::lock_guard lock(mutex_);
    return rings_;
  }
  bool WaitFor(uint32_t seen, std::chrono::nanoseconds timeout) {
    std::unique_lock lock(mutex_);
    return rung_.wait_for(lock, timeout, [&] { return rings_ != seen; });
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable rung_;
  uint32_t rings_ = 0;  // guarded by mutex_
};

// Has no timeout: whoever is never rung for sleeps forever.
class AtomicWaitBell {
 public:
  void Ring() {
    rings_.fetch_add(1, std::memory_order_seq_cst);
    rings_.notify_all();
  }
  uint32_t Seen() const { return rings_.load(std::memory_order_acquire); }
  bool WaitFor(uint32_t seen, std::chrono::nanoseconds) {
    rings_.wait(seen, std::memory_order_acquire);
    return true;
  }

 private:
  std::atomic<uint32_t> rings_{0};
};

class SemaphoreBell {
 public:
  void Ring() { rings_.release(); }
  uint32_t Seen() const { return 0; }
  bool WaitFor(uint32_t, std::chrono::nanoseconds timeout) {
    return rings_.try_acquire_for(timeout);
  }

 private:
  std::counting_semaphore<> rings_{0};
};

void BM_Doorbell_Ring(benchmark::State& state) { Ring<Doorbell>(state); }
void BM_Doorbell_Turn(benchmark::State& state) { Turn<Doorbell>(state); }
void BM_MutexBell_Ring(benchmark::State& state) { Ring<MutexBell>(state); }
void BM_MutexBell_Turn(benchmark::State& state) { Turn<MutexBell>(state); }
void BM_StdAtomicWait_Ring(benchmark::State& state) { Ring<AtomicWaitBell>(state); }
void BM_StdAtomicWait_Turn(benchmark::State& state) { Turn<AtomicWaitBell>(state); }
void BM_StdSemaphore_Ring(benchmark::State& state) { Ring<SemaphoreBell>(state); }
void BM_StdSemaphore_Turn(benchmark::State& state) { Turn<SemaphoreBell>(state); }

KLATCH_BENCH_BELL(BM_Doorbell_Ring, BM_Doorbell_Turn);
KLATCH_BENCH_BELL(BM_MutexBell_Ring, BM_MutexBell_Turn);
KLATCH_BENCH_BELL(BM_StdAtomicWait_Ring, BM_StdAtomicWait_Turn);
KLATCH_BENCH_BELL(BM_StdSemaphore_Ring, BM_StdSemaphore_Turn);

}  // namespace
}  // namespace klatch::lockfree
