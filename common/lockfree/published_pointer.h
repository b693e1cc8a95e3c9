#pragma once
// An immutable object that one writer replaces by another, whole, while readers look at it without
// a lock.
//
//   list.Replace(std::make_unique<const List>(…), epochs);      // writer
//
//   const EpochReclaimer::Guard guard(epochs);                  // reader
//   const List* now = list.Load(guard);
//
// Thread safety: one writer thread (Replace, Own); any thread loads under a guard of the reclaimer
// that Replace is given, always the same.
// Lifetime: what Load returns lives as long as the guard. The pointer dies when nobody reads any
// more, and deletes the object that it holds.
// Bound: one object, and those that wait in the reclaimer. Empty at first. For objects that change
// rarely: each change makes a new one.
//
// Proof sheet. W: the writer, R: a reader.
//
//   W  w1  makes the object                          R  r1  pins (Guard)
//      w2  pointer := object         release            r2  loads the pointer   acquire
//      w3  retires the former one                       r3  reads the object
//                                                       r4  unpins
//
//  1. What R reads is whole: r2 acquires w2, which publishes w1.
//  2. What R reads stays: w2 unlinks the former object before w3 retires it, in one thread. That is
//     t1 of epoch.h, whose invariants say that whoever pins afterwards can't load it any more, and
//     that it is not deleted under who has.
//  3. W's own loads are relaxed: nobody else stores.
//
// Progress: Load is one load. Replace is one store and a retirement, which takes a mutex.

#include <memory>

#include "common/lockfree/epoch.h"
#include "common/lockfree/primitives.h"

namespace klatch::lockfree {

template <typename T>
class PublishedPointer {
 public:
  PublishedPointer() = default;
  // Relaxed: whoever destroys it has joined the writer, and nobody reads.
  ~PublishedPointer() { delete object_.load(std::memory_order_relaxed); }
  PublishedPointer(const PublishedPointer&) = delete;
  PublishedPointer& operator=(const PublishedPointer&) = delete;

  // The object, or null before the first Replace. Any thread.
  const T* Load(const EpochReclaimer::Guard&) const {
    return object_.load(std::memory_order_acquire);  // invariant 1
  }

  // The same for the writer, who needs no guard: only its own Replace can end the object's life.
  const T* Own() const { return object_.load(std::memory_order_relaxed); }

  // Shows `fresh` to all who load from now on; the former object is deleted when no guard can see
  // it. Writer.
  void Replace(std::unique_ptr<const T> fresh, EpochReclaimer& epochs) {
    const T* const former = Own();
    object_.store(fresh.release(), std::memory_order_release);  // invariants 1 and 2
    epochs.Retire(former);
  }

 private:
  Atomic<const T*> object_{nullptr};
};

}  // namespace klatch::lockfree
