#pragma once
// Made-up social graphs: the same seed and sizes give the same graph.

#include <memory>
#include <string>

#include "bench/load/plan/graph.h"
#include "common/base/status.h"

namespace klatch::load {

struct CommunityShape {
  uint32_t persons = 2000;
  // Average; group sizes follow a power law (exponent 2) between these bounds.
  uint32_t groups_per_person = 4;
  uint32_t size_min = 5;
  uint32_t size_max = 400;
  // One more group of so many: everybody, and fans beyond them, who are in no other group and only
  // read; 0: none.
  uint32_t celebrity_members = 0;
  // So many persons are in so many groups besides, or in all that there are.
  uint32_t busy_persons = 0;
  uint32_t busy_groups = 0;
  // Ends every group's id, so that graphs of other shapes and seeds have other groups on the same
  // data.
  std::string group_suffix = {};
};

// Communities: persons live on a circle, a group gathers most of its members around one place of it
// and the rest from anywhere, so that groups overlap as those of neighbours do. Everybody is in at
// least one. INVALID_ARGUMENT if there are fewer than 2 persons.
absl::StatusOr<std::unique_ptr<const Graph>> GenerateCommunities(const CommunityShape& shape,
                                                                 uint64_t seed);

struct UniformShape {
  uint32_t persons = 100'000;
  uint32_t group_size = 400;
  uint32_t groups_per_person = 10;
  std::string group_suffix = {};
};

// persons * groups_per_person / group_size groups of exactly group_size random persons, each person
// in groups_per_person of them (a few in one less if it does not divide evenly). INVALID_ARGUMENT
// if a group is larger than the number of persons, or smaller than 2.
absl::StatusOr<std::unique_ptr<const Graph>> GenerateUniform(const UniformShape& shape,
                                                             uint64_t seed);

}  // namespace klatch::load
