#pragma once
// A model of memory as C++20 tells it: what loads may read, what happens before what, and which
// accesses race.
//
// Thread safety: one thread, which says in whose name it acts.
// Shape: each atomic keeps every store that was made to it, in the order of modification, which is
// that in which they were made; each thread keeps a clock of the others' steps that happened before
// its own. A load may read any store but those that a later one has superseded for its thread:
//  - the later one, or a load that read it, happens before the load (coherence);
//  - the load is seq_cst, and so was the later store or a load that read it: the single order of
//    seq_cst is that in which its operations are made.
// A read-modify-write reads the last. An acquire load that reads a release store, or a
// read-modify-write in the sequence that one heads, learns its clock.
// A plain field has one value; two accesses of which one writes and neither happens before the
// other are a race, in whatever order they were made. So is a load of an atomic whose making does
// not happen before it, and any access behind the end.
// Not shown, so that a mistake may hide there: loads that read what is stored later (where all
// orders are acquire and release, there are none), other orders of modification than that of
// execution, consume. The core has no fences, nor does the model.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "tests/interleave/schedule.h"

namespace klatch::interleave {

// How many steps of each thread are known.
class Clock {
 public:
  uint32_t operator[](size_t thread) const { return steps_[thread]; }
  void Tick(size_t thread) { ++steps_[thread]; }
  void Join(const Clock& other) {
    for (size_t i = 0; i < kThreads; ++i) {
      steps_[i] = steps_[i] < other.steps_[i] ? other.steps_[i] : steps_[i];
    }
  }

 private:
  std::array<uint32_t, kThreads> steps_{};
};

// What is at one address.
struct Location {
  struct StoreMade {
    uint64_t value;
    Clock released;  // what an acquire load learns; nothing if there is no release
  };
  // At which step of its own a thread has seen which store.
  struct Sight {
    size_t thread;
    uint32_t step;
    size_t store;
  };

  // Forgets all, but keeps its room.
  void Begin(size_t its_number);

  size_t number = 0;
  bool has_ended = false;
  // Who wrote last, the making included, and each thread's last access, by their own steps.
  size_t writer = 0;
  uint32_t written = 0;
  std::array<uint32_t, kThreads> accessed{};
  // Of an atomic. The latest are last; a thread's sights are of ever later stores.
  std::vector<StoreMade> stores;
  std::vector<Sight> sights;
  size_t seq_cst_store = 0;  // no seq_cst load reads an older one
};

// Finds locations by their address. Made to be emptied at once, as each execution begins with none,
// and there are many executions.
class Locations {
 public:
  Locations() : slots_(kSlots) {}

  void Clear();
  // Null if there is none.
  Location* Find(const void* at);
  const Location* Find(const void* at) const { return const_cast<Locations*>(this)->Find(at); }
  // REQUIRES: there is none.
  Location& Add(const void* at);

 private:
  static constexpr size_t kSlots = size_t{1} << 16;

  struct Slot {
    const void* at = nullptr;
    uint32_t round = 0;  // in which it was taken
    uint32_t index = 0;  // in pool_
  };

  size_t SlotOf(const void* at) const;

  uint32_t round_ = 1;
  std::vector<Slot> slots_;
  std::deque<Location> pool_;
  size_t used_ = 0;  // of the pool
};

class Memory {
 public:
  Memory(Schedule& schedule, Locations& locations) : schedule_(schedule), locations_(locations) {
    locations_.Clear();
  }

  // An object at this address begins and ends. An atomic that doesn't begin has been there since
  // before the execution, with its initial value.
  void BeginAtomic(size_t thread, const void* at, uint64_t value);
  void BeginPlain(size_t thread, const void* at);
  void End(size_t thread, const void* at);

  // What an atomic's member of the name does. `initial`: see above.
  uint64_t Load(size_t thread, const void* at, uint64_t initial, std::memory_order order);
  void Store(size_t thread, const void* at, uint64_t initial, uint64_t value,
             std::memory_order order);
  // Reads the last store, and puts `value(read)` behind it.
  template <typename F>
  uint64_t ReadModifyWrite(size_t thread, const void* at, uint64_t initial, F value,
                           std::memory_order order) {
    Location& location = AtomicAt(thread, at, initial);
    const size_t last = location.stores.size() - 1;
    const uint64_t read = Read(thread, location, last, order);
    Append(thread, location, value(read), order, location.stores[last].released);
    return read;
  }
  // Strong. Returns whether it has exchanged; `expected` is what it read.
  bool CompareExchange(size_t thread, const void* at, uint64_t initial, uint64_t& expected,
                       uint64_t desired, std::memory_order success, std::memory_order failure);

  // A relaxed load that knows of what happened before this clock, too; it teaches nothing.
  uint64_t LoadKnowing(const Clock& known, size_t thread, const void* at, uint64_t initial);

  void ReadPlain(size_t thread, const void* at);
  void WritePlain(size_t thread, const void* at);

  // Edges that don't come from atomics: a mutex, a thread's start and end.
  Clock& clock(size_t thread) { return clocks_[thread]; }

  // Counts objects in the order in which they began; for who tells of them.
  size_t NumberOf(const void* at) const { return locations_.Find(at)->number; }

  // Whether nobody has stored to the atomic since it began.
  bool IsUntouched(const void* at) const;

  // What was found wrong first; empty: nothing.
  const std::string& finding() const { return finding_; }
  void Find(const std::string& what) {
    if (finding_.empty()) {
      finding_ = what;
    }
  }

 private:
  static bool Acquires(std::memory_order order) {
    return order == std::memory_order_acquire || order == std::memory_order_acq_rel ||
           order == std::memory_order_seq_cst;
  }
  static bool Releases(std::memory_order order) {
    return order == std::memory_order_release || order == std::memory_order_acq_rel ||
           order == std::memory_order_seq_cst;
  }

  // Made if there is none.
  Location& LocationAt(const void* at);
  Location& Begin(size_t thread, const void* at);
  Location& AtomicAt(size_t thread, const void* at, uint64_t initial);
  Location* PlainAt(size_t thread, const void* at);
  // Finds a race if the last write does not happen before the thread's step.
  void CheckWritten(size_t thread, const Location& location, const char* what);
  void CheckAccessed(size_t thread, const Location& location, const char* what);
  // The oldest store that the thread may read.
  size_t OldestReadable(size_t thread, const Location& location, std::memory_order order) const;
  uint64_t Read(size_t thread, Location& location, size_t store, std::memory_order order);
  void Append(size_t thread, Location& location, uint64_t value, std::memory_order order,
              const Clock& sequence);
  void See(size_t thread, Location& location, size_t store, std::memory_order order);

  Schedule& schedule_;
  std::array<Clock, kThreads> clocks_;
  Locations& locations_;
  size_t next_number_ = 0;
  std::string finding_;
};

}  // namespace klatch::interleave
