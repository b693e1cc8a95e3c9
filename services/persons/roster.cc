#include "services/persons/roster.h"

#include <algorithm>
#include <utility>

namespace klatch {

Roster::Group& Roster::At(GroupIndex group) {
  if (group.value() >= groups_.size()) {
    groups_.resize(group.value() + 1);
  }
  return groups_[group.value()];
}

void Roster::Add(GroupIndex group, uint32_t person) {
  At(group).persons.push_back(person);
  sizes_.Add(group);
}

void Roster::PrefetchGroup(GroupIndex group) const {
  if (group.value() < groups_.size()) {
    __builtin_prefetch(&groups_[group.value()]);
  }
  sizes_.Prefetch(group);
}

void Roster::PrefetchEnd(GroupIndex group) const {
  if (group.value() < groups_.size()) {
    const std::vector<uint32_t>& persons = groups_[group.value()].persons;
    __builtin_prefetch(persons.data() + persons.size());
  }
}

void Roster::Remove(GroupIndex group, uint32_t person) {
  if (group.value() >= groups_.size()) {
    return;
  }
  std::vector<uint32_t>& members = groups_[group.value()].persons;
  auto found = std::ranges::find(members, person);
  if (found != members.end()) {
    *found = members.back();
    members.pop_back();
    sizes_.Remove(group, 1);
  }
}

void Roster::Clear(GroupIndex group) {
  if (group.value() < groups_.size()) {
    const auto persons = std::exchange(groups_[group.value()].persons, {});
    sizes_.Remove(group, static_cast<uint32_t>(persons.size()));
  }
}

std::span<const uint32_t> Roster::Of(GroupIndex group) const {
  if (group.value() >= groups_.size()) {
    return {};
  }
  return groups_[group.value()].persons;
}

std::span<const uint32_t> Roster::CopiedTo(GroupIndex group) const {
  if (group.value() >= groups_.size() || groups_[group.value()].is_pulled) {
    return {};
  }
  return groups_[group.value()].persons;
}

void Roster::SetPulled(GroupIndex group, bool is_pulled) { At(group).is_pulled = is_pulled; }

}  // namespace klatch
