#include "bench/load/plan/quarrels.h"

namespace klatch::load {
namespace {

constexpr uint64_t kDrawsPerQuarrel = 64;

}  // namespace

Quarrels::Quarrels(const Graph& graph, const Plan& plan, uint64_t count, uint64_t seed) {
  Random random(Mix(seed));
  for (uint64_t draw = 0; draw < count * kDrawsPerQuarrel && all_.size() < count; ++draw) {
    const auto group = static_cast<GroupNumber>(random.Below(graph.group_count()));
    const PersonNumber person = plan.StayingMember(group, random);
    const PersonNumber opponent = plan.StayingMember(group, random);
    // Somebody must be left to whom nothing happens.
    const bool is_small = graph.group(group).members.size() < 4;
    if (is_small || person == opponent || Has(person) || Has(opponent)) {
      continue;
    }
    by_person_[person] = by_person_[opponent] = static_cast<uint32_t>(all_.size());
    all_.push_back({person, opponent, group});
  }
}

QuietPersons::QuietPersons(const Graph& graph, const Quarrels& quarrels, uint64_t count,
                           uint64_t seed) {
  Random random(Mix(seed));
  for (uint64_t draw = 0; draw < 2 * count && persons_.size() < count; ++draw) {
    const auto person = static_cast<PersonNumber>(random.Below(graph.person_count()));
    if (person != 0 && !quarrels.Has(person)) {
      persons_.insert(person);
    }
  }
}

bool Quarrels::Concerns(PersonNumber reader, PersonNumber author, GroupNumber group) const {
  const auto found = by_person_.find(reader);
  if (found == by_person_.end()) {
    return false;
  }
  const Quarrel& quarrel = all_[found->second];
  return group == quarrel.group || author == quarrel.person || author == quarrel.opponent;
}

}  // namespace klatch::load
