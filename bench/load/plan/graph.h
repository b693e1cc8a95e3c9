#pragma once
// Who plays: persons, groups, and who is a member of which group when the load begins. Persons and
// groups have dense indexes here; only calls carry their ids.
//
// Lifetime: built once, then immutable and read from any thread.
// Bound: 2^32 - 1 persons, groups and memberships; 4 bytes per membership in each direction.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace klatch::load {

using PersonNumber = uint32_t;
using GroupNumber = uint32_t;
constexpr uint32_t kNobody = UINT32_MAX;

struct GroupSpec {
  std::string id;
  PersonNumber owner = kNobody;
  // The owner included. Each person once.
  std::vector<PersonNumber> members = {};
};

class Graph {
 public:
  // `first_circle`: groups from this number on are circles, those before are friends' groups whose
  // number is their owner's; nothing if the graph has no friends' groups. Of the persons the first
  // `authors` post, the others only read. REQUIRES: every member's number < persons.size(); every
  // group has its owner among its members.
  Graph(std::vector<std::string> persons, std::vector<GroupSpec> groups,
        std::optional<GroupNumber> first_circle, uint32_t authors = UINT32_MAX);
  // Not copied or moved: the look-up tables hold views into it.
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  uint32_t person_count() const { return static_cast<uint32_t>(persons_.size()); }
  uint32_t author_count() const { return std::min(authors_, person_count()); }
  uint32_t group_count() const { return static_cast<uint32_t>(groups_.size()); }
  uint64_t membership_count() const { return group_list_.size(); }
  const std::string& person(PersonNumber number) const { return persons_[number]; }
  const GroupSpec& group(GroupNumber number) const { return groups_[number]; }
  // Ascending.
  std::span<const GroupNumber> GroupsOf(PersonNumber person) const;
  std::optional<GroupNumber> first_circle() const { return first_circle_; }

  // Nothing if the id is none of ours.
  std::optional<PersonNumber> FindPerson(std::string_view id) const;
  std::optional<GroupNumber> FindGroup(std::string_view id) const;

 private:
  std::vector<std::string> persons_;
  std::vector<GroupSpec> groups_;
  std::optional<GroupNumber> first_circle_;
  uint32_t authors_;
  // The groups of person p are group_list_[group_begin_[p] .. group_begin_[p + 1]).
  std::vector<uint32_t> group_begin_;
  std::vector<GroupNumber> group_list_;
  // Views into persons_ and groups_.
  std::unordered_map<std::string_view, PersonNumber> person_numbers_;
  std::unordered_map<std::string_view, GroupNumber> group_numbers_;
};

}  // namespace klatch::load
