#pragma once
// Ends all that waits for a Redis which nobody needs any more, at once: connections and pipelines that were
// given the same cutoff fail what is under way, and connect no more.
//
//   redis::Cutoff cutoff;
//   auto connection = redis::Connection::Connect(address, {.cutoff = &cutoff});
//   …
//   cutoff.Cut();        // another thread; a call that waits fails with OUTCOME_UNKNOWN
//
// Thread safety: any thread. Lifetime: outlives all that were given it. For good: there is no way back.
// What it does not end: an attempt to connect, which has a limit of its own.

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace klatch::redis {

class Cutoff {
 public:
  Cutoff() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Cutoff() {
    if (fd_ >= 0) {
      close(fd_);
    }
  }
  Cutoff(const Cutoff&) = delete;
  Cutoff& operator=(const Cutoff&) = delete;

  void Cut() {
    // Release, so that who is woken by the descriptor finds it set.
    is_cut_.store(true, std::memory_order_release);
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(fd_, &one, sizeof(one));
  }
  bool is_cut() const { return is_cut_.load(std::memory_order_acquire); }
  // Readable once it is cut; nobody reads it. -1 if there were no descriptors left: then waits end at
  // their timeouts.
  int fd() const { return fd_; }

 private:
  const int fd_;
  std::atomic<bool> is_cut_{false};
};

}  // namespace klatch::redis
