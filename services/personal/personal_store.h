#pragma once
// The personal states of all persons of this node, most of whom have none.
//
// Thread safety: Find and IsBlockedBetween from any thread, without a lock. Admit from any thread,
// under a mutex. Current and Publish by whoever writes the person's state: one at a time for each
// person (PartitionTurns; the loader before anybody else).
// Lifetime: entries stay until the store dies; states as PublishedPointer has it. `epochs` outlives
// the store.
// Bound: persons_max persons that have, or once had, a state; Admit refuses more.

#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "common/lockfree/epoch.h"
#include "common/lockfree/insert_only_table.h"
#include "common/lockfree/published_pointer.h"
#include "services/model/ids.h"
#include "services/personal/personal_state.h"

namespace klatch {

class PersonalStore {
  struct Entry;

 public:
  // Where a person's state was found, or that there was none, for who asks for it often.
  // Thread safety: one thread at a time.
  class Place {
    friend class PersonalStore;
    const Entry* entry_ = nullptr;
    // How many states there were when this one was not among them.
    uint32_t absent_among_ = std::numeric_limits<uint32_t>::max();
  };

  PersonalStore(uint32_t persons_max, lockfree::EpochReclaimer& epochs)
      : epochs_(epochs), table_(persons_max) {}
  PersonalStore(const PersonalStore&) = delete;
  PersonalStore& operator=(const PersonalStore&) = delete;

  // Null for a person without state. Valid as long as the guard, which is of `epochs`.
  const PersonalState* Find(std::string_view person,
                            const lockfree::EpochReclaimer::Guard& guard) const;
  // The same, without a search unless a state was added since the last. `place`: of this person.
  const PersonalState* Find(std::string_view person, Place& place,
                            const lockfree::EpochReclaimer::Guard& guard) const;

  // Whether either of two persons has blocked the other, as the viewer's own state says it.
  bool IsBlockedBetween(const PersonId& viewer, const PersonId& other) const;

  // Makes room for the person's state. False if the store is full.
  bool Admit(const PersonId& person);

  // A copy to change; empty for a person without state. The person's writer.
  PersonalState Current(const PersonId& person) const;
  // Shows `state` to every read that starts from now on. The person's writer. REQUIRES: the person
  // was admitted, or `state` is empty.
  void Publish(const PersonId& person, PersonalState state);

  // Persons that have, or once had, a state.
  uint32_t size() const { return table_.size(); }

 private:
  struct Entry {
    explicit Entry(std::string person) : id(std::move(person)) {}
    std::string_view key() const { return id; }

    const std::string id;
    lockfree::PublishedPointer<PersonalState> state;
  };

  lockfree::EpochReclaimer& epochs_;
  std::mutex mutex_;  // held by whoever inserts
  lockfree::InsertOnlyTable<Entry> table_;
};

}  // namespace klatch
