#include "services/persons/person.h"

#include <algorithm>

namespace klatch {

const Membership* MembershipList::Find(GroupIndex group) const {
  auto found = std::ranges::lower_bound(items_, group, {}, &Membership::group);
  return found != items_.end() && found->group == group ? &*found : nullptr;
}

}  // namespace klatch
