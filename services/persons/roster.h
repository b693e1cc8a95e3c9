#pragma once
// Which of a worker's persons receive a group's updates: per group a dense list of person indexes,
// so that delivering a post is one pass over an array; and whether they get copies at all.
//
// Thread safety: one thread, the worker's.
// Lifetime: the sizes outlive it.
// Bound: one entry per membership of the worker's persons.

#include <cstdint>
#include <span>
#include <vector>

#include "services/model/ids.h"
#include "services/persons/group_sizes.h"

namespace klatch {

class Roster {
 public:
  explicit Roster(GroupSizes& sizes) : sizes_(sizes) {}

  // The caller knows from the memberships that the person is not in the group (or is).
  void Add(GroupIndex group, uint32_t person);
  // For who adds many: asks for the cache lines that Add will touch, in two steps with other work
  // between, as the second reads what the first asked for.
  void PrefetchGroup(GroupIndex group) const;
  void PrefetchEnd(GroupIndex group) const;
  // Linear in the group: leaving is rare, delivering is not.
  void Remove(GroupIndex group, uint32_t person);
  void Clear(GroupIndex group);

  // Persons of the group, in no particular order; valid until the next change.
  std::span<const uint32_t> Of(GroupIndex group) const;

  // Those who get copies: none of a group whose updates are read from its feed.
  std::span<const uint32_t> CopiedTo(GroupIndex group) const;

  void SetPulled(GroupIndex group, bool is_pulled);

 private:
  struct Group {
    std::vector<uint32_t> persons;
    bool is_pulled = false;
  };

  Group& At(GroupIndex group);

  GroupSizes& sizes_;
  std::vector<Group> groups_;
};

}  // namespace klatch
