#pragma once
// The persons of one worker's partitions: a table by id, and their rings side by side in one
// reserved range of memory, so that a delivery finds a ring by index without a pointer in between.
//
//   index:      0        1        2       …  persons_max
//   home rings  [64 B]   [64 B]   [64 B]
//   post rings  [64 B]   [64 B]   [64 B]
//
// Thread safety: one writer (the loader before the worker starts, then the worker); Find and At
// from any thread without a lock; Wake from any thread. Lifetime: persons and rings live as long as the store. Bound:
// persons_max persons; FindOrAdd answers null past it. Memory is reserved, not used, up front.

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "common/lockfree/insert_only_table.h"
#include "common/lockfree/timeline_ring.h"
#include "services/model/ids.h"
#include "services/model/layout.h"
#include "services/persons/person.h"

namespace klatch {

class PersonStore {
 public:
  PersonStore(const Layout& layout, uint32_t persons_max, size_t ring_bytes_max);
  ~PersonStore();
  PersonStore(const PersonStore&) = delete;
  PersonStore& operator=(const PersonStore&) = delete;

  // Writer only. Null if the store is full.
  Person* FindOrAdd(std::string_view id);

  // Null if the person is not here.
  Person* Find(std::string_view id) const;
  // REQUIRES: index < size().
  Person& At(uint32_t index) const { return table_.At(index); }
  uint32_t size() const { return static_cast<uint32_t>(table_.size()); }

  // Leaves word that the person is back, for the writer.
  void Wake(uint32_t index) const;
  // Writer only: whom such word was left for since the last call.
  std::vector<uint32_t> TakeWoken();

  // REQUIRES: index < size().
  lockfree::TimelineRing& Home(uint32_t index) const { return rings_[index]; }
  lockfree::TimelineRing& Posts(uint32_t index) const { return rings_[persons_max_ + index]; }

  lockfree::RingArena& arena() { return arena_; }
  const lockfree::RingArena& arena() const { return arena_; }

 private:
  const Layout layout_;
  const uint32_t persons_max_;
  lockfree::RingArena arena_;
  lockfree::InsertOnlyTable<Person> table_;
  // 2 * persons_max_ rings in reserved memory; a ring is constructed when its person is added.
  lockfree::TimelineRing* rings_;

  // Whether there is word; for whom is guarded by mutex_.
  mutable std::atomic<bool> has_woken_{false};
  mutable std::mutex mutex_;
  mutable std::vector<uint32_t> woken_;
};

}  // namespace klatch
