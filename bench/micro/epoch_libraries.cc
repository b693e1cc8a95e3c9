// liburcu on the same job.

#include "bench/micro/epoch_workload.h"
#include "bench/micro/urcu.h"

namespace klatch::lockfree {
namespace {

class Urcu {
 public:
  using Reader = UrcuThread;
  template <typename F>
  uint64_t Pinned(const F& f) {
    const UrcuGuard guard;
    return f();
  }
  void Retire(std::unique_ptr<Retired> object) { limbo_.Retire(std::move(object)); }
  void Reclaim() { limbo_.Reclaim(); }

 private:
  UrcuLimbo<Retired> limbo_;
};

void BM_Urcu_Pin(benchmark::State& state) { Pin<Urcu>(state); }
void BM_Urcu_Retire(benchmark::State& state) { Retire<Urcu>(state); }

KLATCH_BENCH_RECLAIMER(BM_Urcu_Pin, BM_Urcu_Retire);

}  // namespace
}  // namespace klatch::lockfree
