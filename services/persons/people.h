#pragma once
// All persons that this node holds, over all workers: what reads and calls look at.
//
// Thread safety: any thread.

#include <vector>

#include "common/lockfree/epoch.h"
#include "common/lockfree/timeline_ring.h"
#include "services/persons/person.h"

namespace klatch {

class People {
 public:
  virtual ~People() = default;

  // Null if nothing was ever delivered to or known of this person. Valid while the node runs.
  virtual const Person* Find(const PersonId& person) const = 0;
  // Hold a guard while looking at a MembershipList.
  virtual lockfree::EpochReclaimer& epochs() = 0;
  // Tells the worker that the person is back. Any thread.
  virtual void Wake(const Person& person) = 0;
  // The memory that the person's rings live in; ring reads need it.
  virtual const lockfree::RingArena& ArenaOf(const Person& person) const = 0;
};

}  // namespace klatch
