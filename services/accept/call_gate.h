#pragma once
// Counts the calls under way, so that a stopping server can let them end (SIGTERM: no new calls,
// the old ones finish, then the stages stop).
//
// Bound: calls_max calls under way.
// Thread safety: any thread. The mutex is held for a few instructions per call.
// Lifetime: outlives every call; after Drain has returned true it may go.

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "common/base/clock.h"

namespace klatch {

class CallGate {
 public:
  // One call under way; leaves the gate when it goes. Movable, so that a call's coroutine holds it.
  class Pass {
   public:
    enum class Refusal { kClosed, kFull };

    explicit Pass(Refusal refusal) : refusal_(refusal) {}
    explicit Pass(CallGate* gate) : gate_(gate) {}
    Pass(Pass&& other) noexcept : gate_(other.gate_), refusal_(other.refusal_) {
      other.gate_ = nullptr;
    }
    Pass& operator=(Pass&&) = delete;
    ~Pass() {
      if (gate_ != nullptr) {
        gate_->Leave();
      }
    }
    bool granted() const { return gate_ != nullptr; }
    // REQUIRES: !granted().
    Refusal refusal() const { return refusal_; }

   private:
    CallGate* gate_ = nullptr;
    Refusal refusal_ = Refusal::kClosed;
  };

  explicit CallGate(size_t calls_max = SIZE_MAX) : calls_max_(calls_max) {}

  Pass Enter() {
    std::lock_guard lock(mutex_);
    if (closed_) {
      return Pass(Pass::Refusal::kClosed);
    }
    if (under_way_ >= calls_max_) {
      return Pass(Pass::Refusal::kFull);
    }
    ++under_way_;
    return Pass(this);
  }

  // Lets nobody in any more.
  void Close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }

  // Closes, then blocks until every call has ended. False if `deadline` comes first.
  bool Drain(base::MonotonicTime deadline) {
    std::unique_lock lock(mutex_);
    closed_ = true;
    return empty_.wait_until(lock, deadline, [this] { return under_way_ == 0; });
  }

  size_t under_way() const {
    std::lock_guard lock(mutex_);
    return under_way_;
  }

 private:
  void Leave() {
    std::lock_guard lock(mutex_);
    --under_way_;
    if (closed_ && under_way_ == 0) {
      // Under the lock, so that whoever drains can't end the gate's life before this has returned.
      empty_.notify_all();
    }
  }

  const size_t calls_max_;
  mutable std::mutex mutex_;
  std::condition_variable empty_;
  // Guarded by mutex_.
  size_t under_way_ = 0;
  bool closed_ = false;
};

}  // namespace klatch
