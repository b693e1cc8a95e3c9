#pragma once
// Deferred deletion: an object that readers may be looking at without a lock is retired, and
// deleted when no reader can have it any more.
//
//   EpochReclaimer::Guard guard(epochs);                       // reader
//   const List* list = person.list.load(std::memory_order_acquire);
//
//   const List* old = person.list.exchange(fresh, std::memory_order_acq_rel);   // writer
//   epochs.Retire(old);
//
// Thread safety: any thread pins; any thread retires what it alone has unlinked.
// Lifetime: the reclaimer outlives its guards. Its destructor deletes all that is retired.
// Bound: kReaderSlots guards at a time; one more waits, yielding, until one ends. Deletion is tried
// each time another kLimboBatch objects have been retired, so at most that many wait beyond those
// retired since the oldest guard was pinned. A guard that is held forever stops deletion: hold it
// for one read, never across a wait. Guards may nest, at a slot each; a thread that nests as deep
// as there are slots waits for itself.
//
// Proof sheet. R: a reader, T: who retires, S: who scans.
//
//   R  p1  e := epoch_        relaxed     T  t1  unlinks the object    release (T's own structure)
//      p2  slot: 0 -> e       seq_cst        t2  tag := epoch_++       seq_cst
//      p3  load epoch_        seq_cst
//      p4  loads pointers     acquire     S  s1  loads every slot      seq_cst
//      p5  slot := 0          release        s2  deletes objects with tag < every e in a slot
//
//  1. If s1 sees R's pin with e > tag, p1 read what t2 or a later addition wrote. p3 reads that or
//     a later one, of additions only, and acquires t1: p4 can't load the object. If e <= tag, S
//     keeps the object.
//  2. If s1 doesn't see R's pin, because it comes later: s1 precedes p2 in the single order of
//     seq_cst, and t2 precedes s1 (same thread, or by the limbo's mutex). So t2 precedes p3, which
//     therefore reads t2's value or a later one of additions only, and acquires t1: p4 can't load
//     the object. Without p3, or with weaker orders, p4 could be satisfied before p2 is visible,
//     and S would delete under R's eyes.
//  3. If s1 doesn't see R's pin because it has ended, s1 acquires p5: R's last use precedes the
//     deletion.
//
// Progress: pinning is one compare-and-swap where slots are not contended, retiring takes a mutex
// (lists of memberships change rarely; deliveries don't come here).
// Source: K. Fraser, "Practical lock-freedom", 2004, section 5.2.3, with a tag per object in the
// place of three global epochs.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/lockfree/cache_line.h"
#include "common/lockfree/primitives.h"

namespace klatch::lockfree {

class EpochReclaimer {
 public:
  static constexpr size_t kReaderSlots = 256;
  static constexpr size_t kLimboBatch = 1024;

  EpochReclaimer() = default;
  // REQUIRES: no guard is left.
  ~EpochReclaimer();
  EpochReclaimer(const EpochReclaimer&) = delete;
  EpochReclaimer& operator=(const EpochReclaimer&) = delete;

  // While it lives, nothing that could be found after its construction is deleted. It may end on
  // another thread.
  class [[nodiscard]] Guard {
   public:
    explicit Guard(EpochReclaimer& reclaimer);
    ~Guard();
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    Atomic<uint64_t>* slot_;
  };

  // Deletes the object, now or later. Null is ignored. REQUIRES: no reader that pins from now on
  // can find it.
  template <typename T>
  void Retire(const T* object) {
    if (object != nullptr) {
      RetireErased(object, [](const void* erased) { delete static_cast<const T*>(erased); });
    }
  }

  // Deletes what no guard can see, and returns how many objects that were. Any thread.
  size_t TryReclaim();

  // Objects that are retired and not deleted. Any thread.
  size_t retired() const;

 private:
  using Deleter = void (*)(const void*);
  struct Retired {
    const void* object;
    Deleter deleter;
    uint64_t tag;
  };
  struct alignas(kCacheLineBytes) Slot {
    Atomic<uint64_t> epoch{0};  // 0: free
  };

  void RetireErased(const void* object, Deleter deleter);
  uint64_t OldestPinned() const;

  // Written by whoever retires, read by whoever pins. Begins at 1 because 0 marks a free slot.
  alignas(kCacheLineBytes) Atomic<uint64_t> epoch_{1};
  std::array<Slot, kReaderSlots> slots_;

  mutable Mutex mutex_;
  // Guarded by mutex_.
  std::vector<Retired> limbo_;
  size_t reclaim_at_ = kLimboBatch;
};

}  // namespace klatch::lockfree
