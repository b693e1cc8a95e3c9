#pragma once
// Who quarrels with whom: pairs of a person and an opponent in one group, all of whom stay. While one
// of them blocks, mutes or hides, pages lack what everybody else sees: whoever checks a read under
// load asks it of people who don't quarrel. And who is quiet: nobody reads for them until the load is
// over.
//
// Thread safety: any thread; immutable once made.

#include <cstdint>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "bench/load/plan/plan.h"

namespace klatch::load {

struct Quarrel {
  PersonNumber person = 0;
  PersonNumber opponent = 0;
  GroupNumber group = 0;
};

class Quarrels {
 public:
  Quarrels() = default;
  // About `count`: fewer where too few people stay. Each person is in one at most. The same seed
  // gives the same first ones, however many are asked for.
  Quarrels(const Graph& graph, const Plan& plan, uint64_t count, uint64_t seed);

  const std::vector<Quarrel>& all() const { return all_; }
  bool Has(PersonNumber person) const { return by_person_.contains(person); }
  // Whether it may depend on a quarrel if the reader is shown this author's posts to this group.
  bool Concerns(PersonNumber reader, PersonNumber author, GroupNumber group) const;

 private:
  std::vector<Quarrel> all_;
  // Both sides, by index in all_.
  std::unordered_map<PersonNumber, uint32_t> by_person_;
};

// Persons of whom nobody reads or watches anything during the load.
class QuietPersons {
 public:
  QuietPersons() = default;
  // Never person 0, who is asked whether everything is applied, nor who quarrels.
  QuietPersons(const Graph& graph, const Quarrels& quarrels, uint64_t count, uint64_t seed);

  bool Has(PersonNumber person) const { return persons_.contains(person); }
  size_t size() const { return persons_.size(); }

 private:
  std::unordered_set<PersonNumber> persons_;
};

}  // namespace klatch::load
