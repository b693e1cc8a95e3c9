#pragma once
// What is posted: post number n has an author, a group and a text that follow from the graph and
// the seed alone, so that a plan of any length takes no memory and any thread may ask for any part
// of it. Authors come in random order. Of a graph with friends' groups, four of five posts go to
// the author's friends, the others to one of their circles or to a friend's group.
//
// One post in eight is for whoever is a member now, the others for the members at posting. A
// quarter of the groups open their past to joiners.
//
// Also decides who may leave: about one in eight memberships, never an owner's. Whoever checks a
// read while people come and go asks it about the others.
//
// Thread safety: any thread. The graph must outlive it.

#include <string>

#include "bench/load/graph.h"
#include "bench/load/random.h"

namespace klatch::load {

struct PlannedPost {
  uint64_t number = 0;
  PersonNumber author = kNobody;
  GroupNumber group = 0;
  bool members_now = false;
};

class Plan {
 public:
  // `run` tells this run's idempotency keys from every other run's.
  Plan(const Graph& graph, uint64_t seed, std::string run)
      : graph_(graph), seed_(seed), run_(std::move(run)) {}

  PlannedPost At(uint64_t number) const;
  std::string TextOf(uint64_t number) const;
  // What it says after it was edited.
  std::string EditedTextOf(uint64_t number) const;
  std::string RequestIdOf(uint64_t number) const;
  // Whether whoever joins this group, if the run creates it, sees its past.
  bool OpensPast(GroupNumber group) const;

  // Whether this membership may end during the load.
  bool MayLeave(GroupNumber group, PersonNumber person) const;
  // A member of the group who stays throughout. The owner, if nobody else is drawn.
  PersonNumber StayingMember(GroupNumber group, Random& random) const;

  const std::string& run() const { return run_; }

 private:
  GroupNumber GroupFor(PersonNumber author, Random& random) const;

  const Graph& graph_;
  const uint64_t seed_;
  const std::string run_;
};

}  // namespace klatch::load
