#pragma once
// A ring in which one producer hands every item to every one of N consumers, in order.
//
//   while (T* slot = ring.TryClaim()) { Decode(next, *slot); }   // several, then at once:
//   ring.Publish();
//   ring.Poll(worker, [&](const T& item) { Apply(item); }, 64);
//
// Thread safety: one producer thread; one thread per consumer number. Waiting and polling of a
// consumer are the same thread's.
// Lifetime: items live in the ring and are reused in place: a claimed slot still holds what was
// there a lap ago, so that strings and vectors keep their memory. The reference given to Poll's
// function ends with it.
// Bound: `slots` items. When the slowest consumer is that far behind, TryClaim says null: the
// producer waits.
//
// Proof sheet. P: the producer, C: a consumer, at its number's line.
//
//   P  a1  loads every `consumed`    acquire     C  c1  loads published_         acquire
//      a2  writes items                             c2  reads items
//      a3  published_ := claimed     release        c3  consumed := from + count  release
//
//  1. C reads item i only if i < published_: c1 acquires a3, which publishes a2. Without the pair,
//     C could see an item that is not yet whole.
//  2. P writes item i only if each `consumed` > i - slots: a1 acquires c3, which follows the last
//     use in c2. Without the pair, P could write into an item that is being read.
//  3. Both sides keep the other's last known sequence and look again only when it doesn't suffice:
//     sequences never decrease, so an old one only says less. Each has its own cache line.
//  4. No wake-up is lost: each side rings its bell after the store that the other waits for, and
//     looks at it between Seen() and WaitFor() (doorbell.h).
//
// Progress: TryClaim, Publish and Poll are wait-free but for Poll's function; TryClaim is
// O(consumers) when the ring seems full.
// Source: the LMAX Disruptor (Thompson et al., 2011).

#include <algorithm>
#include <bit>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "common/lockfree/cache_line.h"
#include "common/lockfree/doorbell.h"
#include "common/lockfree/primitives.h"

namespace klatch::lockfree {

template <typename T>
class BroadcastRing {
 public:
  // `slots` is rounded up to a power of two. REQUIRES: both are at least 1.
  BroadcastRing(size_t slots, size_t consumers)
      : mask_(std::bit_ceil(slots) - 1), slots_(mask_ + 1), consumers_(consumers) {
    assert(slots > 0 && consumers > 0);
  }
  BroadcastRing(const BroadcastRing&) = delete;
  BroadcastRing& operator=(const BroadcastRing&) = delete;

  // The next slot to fill, or null if the slowest consumer is a whole ring behind. Claims add up
  // until they are published together. Producer.
  T* TryClaim() {
    if (claimed_ - slowest_known_ > mask_ && !LookForRoom()) {
      return nullptr;
    }
    return &slots_[claimed_++ & mask_];
  }

  // Makes all claimed slots visible to all consumers, at once, and wakes those that sleep.
  // Producer.
  void Publish() {
    // Relaxed: the producer's own store. An empty publish is free.
    if (published_.value.load(std::memory_order_relaxed) == claimed_) {
      return;
    }
    // Release publishes the items (invariant 1).
    published_.value.store(claimed_, std::memory_order_release);
    items_bell_.Ring();
  }

  // Whether there is room to claim; sleeps for at most `timeout` while there is none. Producer.
  // REQUIRES: what was claimed is published; nobody frees room for what nobody can see.
  bool WaitForRoom(std::chrono::nanoseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (true) {
      const uint32_t seen = room_bell_.Seen();
      if (claimed_ - slowest_known_ <= mask_ || LookForRoom()) {
        return true;
      }
      // Any consumer rings, not only the slowest: so it may take several rings until there is room.
      const auto left = deadline - std::chrono::steady_clock::now();
      if (left <= std::chrono::nanoseconds::zero()) {
        return false;
      }
      room_bell_.WaitFor(seen, left);
    }
  }

  // Calls f(const T&) for each available item, at most `max`, in order, and then gives them back,
  // once. Returns their number; 0 if there is none. Consumer.
  template <typename F>
  size_t Poll(size_t consumer, F&& f, size_t max) {
    ConsumerLine& line = consumers_[consumer];
    const uint64_t from = line.consumed.load(std::memory_order_relaxed);  // its own store
    if (line.published_known - from < max && !LookForItems(line)) {
      return 0;
    }
    const size_t count = std::min<uint64_t>(line.published_known - from, max);
    for (uint64_t i = from; i < from + count; ++i) {
      f(std::as_const(slots_[i & mask_]));
    }
    // Release gives the slots back after the last use of the items (invariant 2).
    line.consumed.store(from + count, std::memory_order_release);
    room_bell_.Ring();
    return count;
  }

  // Whether there are items to poll; sleeps for at most `timeout` while there are none. Wakes
  // early, perhaps with false, when somebody rings the bell of items. Consumer.
  bool WaitForItems(size_t consumer, std::chrono::nanoseconds timeout) {
    ConsumerLine& line = consumers_[consumer];
    const uint32_t seen = items_bell_.Seen();
    if (LookForItems(line)) {
      return true;
    }
    items_bell_.WaitFor(seen, timeout);
    return LookForItems(line);
  }

  // The bell that sleeping consumers hear, so that others can wake them too: to stop, or for work
  // from elsewhere. Any thread.
  Doorbell& items_bell() { return items_bell_; }

  size_t slots() const { return mask_ + 1; }
  size_t consumers() const { return consumers_.size(); }
  // Items published so far, and items that a consumer has given back. Any thread; for metrics and
  // tests.
  uint64_t published() const { return published_.value.load(std::memory_order_acquire); }
  uint64_t consumed(size_t consumer) const {
    return consumers_[consumer].consumed.load(std::memory_order_acquire);
  }

 private:
  struct alignas(kCacheLineBytes) ConsumerLine {
    Atomic<uint64_t> consumed{0};  // written by the consumer, read by the producer
    uint64_t published_known = 0;  // the consumer's own
  };
  struct alignas(kCacheLineBytes) PublishedLine {
    Atomic<uint64_t> value{0};
  };

  bool LookForItems(ConsumerLine& line) const {
    line.published_known = published_.value.load(std::memory_order_acquire);  // invariant 1
    return line.published_known != line.consumed.load(std::memory_order_relaxed);
  }

  bool LookForRoom() {
    uint64_t slowest = claimed_;
    for (const ConsumerLine& line : consumers_) {
      slowest = std::min(slowest, line.consumed.load(std::memory_order_acquire));  // invariant 2
    }
    slowest_known_ = slowest;
    return claimed_ - slowest <= mask_;
  }

  // Immutable after construction, but for the items themselves and the consumers' sequences.
  const size_t mask_;
  std::vector<T> slots_;
  std::vector<ConsumerLine> consumers_;

  // The producer's own.
  alignas(kCacheLineBytes) uint64_t claimed_ = 0;
  uint64_t slowest_known_ = 0;

  // Written by the producer, read by consumers.
  PublishedLine published_;

  Doorbell items_bell_;
  Doorbell room_bell_;
};

}  // namespace klatch::lockfree
