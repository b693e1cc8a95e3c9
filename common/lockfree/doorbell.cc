#include "common/lockfree/doorbell.h"

#include "common/lockfree/futex.h"

namespace klatch::lockfree {
namespace {

// About a microsecond. Longer would take the processor from the very thread that is about to ring,
// where there are fewer cores than threads.
constexpr int kSpins = 64;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

bool Doorbell::WaitFor(uint32_t seen, std::chrono::nanoseconds timeout) {
  for (int i = 0; i < kSpins; ++i) {
    if (Seen() != seen) {
      return true;
    }
    Pause();
  }
  if (timeout <= std::chrono::nanoseconds::zero()) {
    return false;
  }
  sleepers_.fetch_add(1, std::memory_order_seq_cst);     // C
  if (rings_.load(std::memory_order_seq_cst) == seen) {  // D
    FutexWait(rings_, seen, timeout);
  }
  // Relaxed: only a ringer's count of sleepers, and one too many costs it a system call.
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
  return Seen() != seen;
}

void Doorbell::WakeAll() { FutexWakeAll(rings_); }

}  // namespace klatch::lockfree
