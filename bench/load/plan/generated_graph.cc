#include "bench/load/plan/generated_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <numeric>
#include <string_view>

#include "bench/load/plan/random.h"

namespace klatch::load {
namespace {

constexpr std::array<std::string_view, 40> kNames = {
    "alice", "bruno", "chiara", "dmitri", "elif",   "farah", "goran", "hana",  "ines",   "jonas",
    "kofi",  "lucia", "mei",    "nadia",  "oskar",  "priya", "quinn", "rosa",  "samir",  "tomas",
    "uma",   "vera",  "wanda",  "ximena", "yusuf",  "zoe",   "anton", "bella", "carlos", "daria",
    "emil",  "freya", "gita",   "hugo",   "ingrid", "juma",  "kira",  "leo",   "maya",   "nils"};

constexpr std::array<std::string_view, 24> kTopics = {
    "hiking",    "book-club",  "choir",       "old-flat", "night-run", "five-a-side",
    "gardeners", "film-night", "family",      "biology",  "pottery",   "school-run",
    "cyclists",  "neighbours", "band",        "chess",    "sourdough", "sailing",
    "language",  "volunteers", "board-games", "climbing", "office",    "photo-walk"};

std::vector<std::string> PersonIds(uint32_t count) {
  std::vector<std::string> ids;
  ids.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    ids.push_back(fmt::format("{}-{}", kNames[i % kNames.size()], i / kNames.size() + 1));
  }
  return ids;
}

std::string GroupId(size_t number, std::string_view suffix) {
  return fmt::format("{}-{}{}", kTopics[number % kTopics.size()], number / kTopics.size() + 1,
                     suffix);
}

// Exponent 2, by inverting its distribution.
uint32_t PowerLawSize(uint32_t low, uint32_t high, Random& random) {
  double a = 1.0 / low;
  double b = 1.0 / (high + 1.0);
  return std::min(high, static_cast<uint32_t>(1.0 / (a - random.Unit() * (a - b))));
}

// Seven of ten members live within twice the group's size around its place.
PersonNumber PickMember(uint32_t place, uint32_t size, uint32_t persons, Random& random) {
  uint64_t window = std::min<uint64_t>(persons, 2ull * size + 1);
  if (random.Below(10) < 7) {
    return static_cast<PersonNumber>((place + random.Below(window)) % persons);
  }
  return static_cast<PersonNumber>(random.Below(persons));
}

// Gathers groups, one after the other.
class Communities {
 public:
  Communities(const CommunityShape& shape, uint64_t seed)
      : shape_(shape), random_(seed), in_group_(shape.persons, kNobody) {}

  // Until everybody is in one, and in as many as the shape wants on average.
  void Gather();
  // Call at most once each, behind Gather.
  void AddBusyPersons();
  void AddCelebrity();

  std::vector<GroupSpec> TakeGroups() { return std::move(groups_); }

 private:
  void GatherOne(uint32_t founder, uint32_t size);

  const CommunityShape& shape_;
  Random random_;
  std::vector<GroupSpec> groups_;
  // The group that each person joined last: whether they are in the one that is being gathered.
  std::vector<GroupNumber> in_group_;
};

void Communities::GatherOne(uint32_t founder, uint32_t size) {
  const auto number = static_cast<GroupNumber>(groups_.size());
  const uint32_t persons = shape_.persons;
  GroupSpec group{
      .id = GroupId(number, shape_.group_suffix), .owner = founder, .members = {founder}};
  const uint32_t place = (founder + persons - std::min(size, persons - 1)) % persons;
  in_group_[founder] = number;
  while (group.members.size() < size) {
    PersonNumber member = PickMember(place, size, persons, random_);
    while (in_group_[member] == number) {
      member = (member + 1) % persons;
    }
    in_group_[member] = number;
    group.members.push_back(member);
  }
  groups_.push_back(std::move(group));
}

void Communities::Gather() {
  const uint64_t wanted = static_cast<uint64_t>(shape_.persons) * shape_.groups_per_person;
  uint64_t memberships = 0;
  uint32_t alone = 0;  // everybody before this one is in a group
  while (memberships < wanted || alone < shape_.persons) {
    // While there is room, groups arise anywhere; after that only where somebody is left over.
    const auto founder =
        memberships < wanted ? static_cast<uint32_t>(random_.Below(shape_.persons)) : alone;
    GatherOne(founder,
              std::min(PowerLawSize(shape_.size_min, shape_.size_max, random_), shape_.persons));
    memberships += groups_.back().members.size();
    while (alone < shape_.persons && in_group_[alone] != kNobody) {
      ++alone;
    }
  }
}

void Communities::AddBusyPersons() {
  std::vector<GroupNumber> deck(groups_.size());
  std::iota(deck.begin(), deck.end(), 0);
  for (uint32_t i = 0; i < shape_.busy_persons; ++i) {
    const auto person =
        static_cast<PersonNumber>(uint64_t{i} * shape_.persons / shape_.busy_persons);
    random_.Shuffle(deck);
    for (size_t taken = 0; taken < std::min<size_t>(shape_.busy_groups, deck.size()); ++taken) {
      auto& members = groups_[deck[taken]].members;
      if (std::find(members.begin(), members.end(), person) == members.end()) {
        members.push_back(person);
      }
    }
  }
}

void Communities::AddCelebrity() {
  GroupSpec group{.id = "celebrity" + shape_.group_suffix, .owner = 0};
  group.members.resize(shape_.celebrity_members);
  std::iota(group.members.begin(), group.members.end(), 0);
  groups_.push_back(std::move(group));
}

// Deals persons into groups of one size, one shuffled deck of everybody after the other. Who is in
// the open group already waits for the next one; a group that stays open at the end is dropped.
class Dealer {
 public:
  explicit Dealer(const UniformShape& shape) : shape_(shape), in_group_(shape.persons, kNobody) {}

  void Deal(const std::vector<PersonNumber>& deck) {
    for (PersonNumber person : deck) {
      waiting_.push_back(person);
      while (TakeOneThatWaits()) {
      }
    }
  }
  std::vector<GroupSpec> TakeGroups() { return std::move(groups_); }

 private:
  bool TakeOneThatWaits() {
    auto open = static_cast<GroupNumber>(groups_.size());
    auto fits = std::find_if(waiting_.begin(), waiting_.end(),
                             [&](PersonNumber person) { return in_group_[person] != open; });
    if (fits == waiting_.end()) {
      return false;
    }
    PersonNumber person = *fits;
    waiting_.erase(fits);
    in_group_[person] = open;
    members_.push_back(person);
    if (members_.size() == shape_.group_size) {
      PersonNumber owner = members_.front();
      groups_.push_back({GroupId(open, shape_.group_suffix), owner, std::exchange(members_, {})});
    }
    return true;
  }

  const UniformShape& shape_;
  std::vector<GroupSpec> groups_;
  std::vector<PersonNumber> members_;  // of the open group
  std::deque<PersonNumber> waiting_;   // those who are in the open group already
  std::vector<GroupNumber> in_group_;  // the group that each person was dealt into last
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Graph>> GenerateCommunities(const CommunityShape& shape,
                                                                 uint64_t seed) {
  if (shape.persons < 2) {
    return base::Error(absl::StatusCode::kInvalidArgument, "--persons must be at least 2");
  }
  Communities communities(shape, seed);
  communities.Gather();
  communities.AddBusyPersons();
  if (shape.celebrity_members != 0) {
    communities.AddCelebrity();
  }
  return std::make_unique<const Graph>(PersonIds(std::max(shape.persons, shape.celebrity_members)),
                                       communities.TakeGroups(), std::nullopt, shape.persons);
}

absl::StatusOr<std::unique_ptr<const Graph>> GenerateUniform(const UniformShape& shape,
                                                             uint64_t seed) {
  if (shape.group_size < 2 || shape.group_size > shape.persons) {
    return base::Error(
        absl::StatusCode::kInvalidArgument,
        fmt::format("--group-size must be between 2 and the number of persons, {}", shape.persons));
  }
  Dealer dealer(shape);
  Random random(seed);
  std::vector<PersonNumber> deck(shape.persons);
  for (PersonNumber i = 0; i < shape.persons; ++i) {
    deck[i] = i;
  }
  for (uint32_t round = 0; round < shape.groups_per_person; ++round) {
    random.Shuffle(deck);
    dealer.Deal(deck);
  }
  return std::make_unique<const Graph>(PersonIds(shape.persons), dealer.TakeGroups(), std::nullopt);
}

}  // namespace klatch::load
