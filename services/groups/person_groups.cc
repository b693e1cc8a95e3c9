#include "services/groups/person_groups.h"

#include <algorithm>
#include <atomic>

namespace klatch {
namespace {

struct Item {
  const GroupId* group;
  Stay stay;
};

}  // namespace

absl::StatusOr<std::vector<GroupStay>> AppliedPersonGroups::List(const PersonId& person,
                                                                 std::string_view after,
                                                                 size_t count) const {
  const PartitionIndex partition = layout_.PartitionOf(person);
  if (!ownership_.Holds(partition, clock_.Monotonic())) {
    return NotOwner("this node may not answer for the actor now");
  }
  std::vector<Item> items;
  if (const Person* known = people_.Find(person)) {
    // Only while the list is looked at; ids of the directory stay for good.
    const lockfree::EpochReclaimer::Guard guard(people_.epochs());
    const MembershipList* list = known->memberships.Load(guard);
    if (list != nullptr) {
      for (const Membership& membership : list->items()) {
        const GroupId& group = directory_.At(membership.group).id;
        if (membership.stay.role != Role::kNone && group.value() > after) {
          items.push_back({&group, membership.stay});
        }
      }
    }
  }
  const size_t shown = std::min(count, items.size());
  std::partial_sort(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(shown), items.end(),
                    [](const Item& a, const Item& b) { return *a.group < *b.group; });
  std::vector<GroupStay> groups;
  groups.reserve(shown);
  for (size_t i = 0; i < shown; ++i) {
    groups.push_back({*items[i].group, items[i].stay});
  }
  // Again after building: a lease that ran out meanwhile makes the answer somebody else's.
  if (!ownership_.Holds(partition, clock_.Monotonic())) {
    return NotOwner("this node may not answer for the actor now");
  }
  return groups;
}

}  // namespace klatch
