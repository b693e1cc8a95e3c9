#include "bench/load/plan/graph.h"

namespace klatch::load {

Graph::Graph(std::vector<std::string> persons, std::vector<GroupSpec> groups,
             std::optional<GroupNumber> first_circle, uint32_t authors)
    : persons_(std::move(persons)),
      groups_(std::move(groups)),
      first_circle_(first_circle),
      authors_(authors) {
  group_begin_.assign(persons_.size() + 1, 0);
  for (const GroupSpec& group : groups_) {
    for (PersonNumber member : group.members) {
      ++group_begin_[member + 1];
    }
  }
  for (size_t i = 1; i < group_begin_.size(); ++i) {
    group_begin_[i] += group_begin_[i - 1];
  }
  group_list_.resize(group_begin_.back());
  std::vector<uint32_t> next(group_begin_.begin(), group_begin_.end() - 1);
  for (GroupNumber number = 0; number < groups_.size(); ++number) {
    for (PersonNumber member : groups_[number].members) {
      group_list_[next[member]++] = number;
    }
  }
  person_numbers_.reserve(persons_.size());
  for (PersonNumber number = 0; number < persons_.size(); ++number) {
    person_numbers_.emplace(persons_[number], number);
  }
  group_numbers_.reserve(groups_.size());
  for (GroupNumber number = 0; number < groups_.size(); ++number) {
    group_numbers_.emplace(groups_[number].id, number);
  }
}

std::span<const GroupNumber> Graph::GroupsOf(PersonNumber person) const {
  return std::span(group_list_)
      .subspan(group_begin_[person], group_begin_[person + 1] - group_begin_[person]);
}

std::optional<PersonNumber> Graph::FindPerson(std::string_view id) const {
  auto found = person_numbers_.find(id);
  return found == person_numbers_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<GroupNumber> Graph::FindGroup(std::string_view id) const {
  auto found = group_numbers_.find(id);
  return found == group_numbers_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace klatch::load
