#include "common/lockfree/doorbell.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <climits>

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

static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t), "a futex is a plain word");

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
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout);
  timespec relative{};
  relative.tv_sec = static_cast<time_t>(seconds.count());
  relative.tv_nsec = static_cast<decltype(relative.tv_nsec)>((timeout - seconds).count());
  sleepers_.fetch_add(1, std::memory_order_seq_cst);     // C
  if (rings_.load(std::memory_order_seq_cst) == seen) {  // D
    // Whatever it answers (woken, changed, timed out, interrupted), the caller looks again.
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&rings_), FUTEX_WAIT_PRIVATE, seen, &relative,
            nullptr, 0);
  }
  // Relaxed: only a ringer's count of sleepers, and one too many costs it a system call.
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
  return Seen() != seen;
}

void Doorbell::WakeAll() {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&rings_), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr,
          nullptr, 0);
}

}  // namespace klatch::lockfree
