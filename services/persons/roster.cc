#include "services/persons/roster.h"

#include <algorithm>

namespace klatch {

void Roster::Add(GroupIndex group, uint32_t person) {
  if (group.value() >= groups_.size()) {
    groups_.resize(group.value() + 1);
  }
  groups_[group.value()].push_back(person);
}

void Roster::Remove(GroupIndex group, uint32_t person) {
  if (group.value() >= groups_.size()) {
    return;
  }
  std::vector<uint32_t>& members = groups_[group.value()];
  auto found = std::ranges::find(members, person);
  if (found != members.end()) {
    *found = members.back();
    members.pop_back();
  }
}

void Roster::Clear(GroupIndex group) {
  if (group.value() < groups_.size()) {
    groups_[group.value()] = {};
  }
}

std::span<const uint32_t> Roster::Of(GroupIndex group) const {
  if (group.value() >= groups_.size()) {
    return {};
  }
  return groups_[group.value()];
}

}  // namespace klatch
