#pragma once
// Which of a worker's persons receive a group's updates: per group a dense list of person indexes,
// so that delivering a post is one pass over an array.
//
// Thread safety: one thread, the worker's.
// Bound: one entry per membership of the worker's persons.

#include <cstdint>
#include <span>
#include <vector>

#include "services/model/ids.h"

namespace klatch {

class Roster {
 public:
  // The caller knows from the memberships that the person is not in the group (or is).
  void Add(GroupIndex group, uint32_t person);
  // Linear in the group: leaving is rare, delivering is not.
  void Remove(GroupIndex group, uint32_t person);
  void Clear(GroupIndex group);

  // Persons of the group, in no particular order; valid until the next change.
  std::span<const uint32_t> Of(GroupIndex group) const;

 private:
  std::vector<std::vector<uint32_t>> groups_;
};

}  // namespace klatch
