// moodycamel's semaphore on the same job: it spins about 10,000 times before it sleeps, ours 64.

// lightweightsemaphore.h does not stand alone: this one includes it behind what it needs.
#include <concurrentqueue/blockingconcurrentqueue.h>

#include "bench/micro/doorbell_workload.h"

namespace klatch::lockfree {
namespace {

class MoodycamelBell {
 public:
  void Ring() { rings_.signal(); }
  uint32_t Seen() const { return 0; }
  bool WaitFor(uint32_t, std::chrono::nanoseconds timeout) {
    return rings_.wait(std::chrono::duration_cast<std::chrono::microseconds>(timeout).count());
  }

 private:
  moodycamel::LightweightSemaphore rings_;
};

void BM_MoodycamelSemaphore_Ring(benchmark::State& state) { Ring<MoodycamelBell>(state); }
void BM_MoodycamelSemaphore_Turn(benchmark::State& state) { Turn<MoodycamelBell>(state); }

KLATCH_BENCH_BELL(BM_MoodycamelSemaphore_Ring, BM_MoodycamelSemaphore_Turn);

}  // namespace
}  // namespace klatch::lockfree
