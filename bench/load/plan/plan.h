#pragma once
// What is posted: post number n has an author, a group and a text that follow from the graph and
// the seed alone, so that a plan of any length takes no memory and any thread may ask for any part
// of it. Authors come in random order. Of a graph with friends' groups, four of five posts go to
// the author's friends, the others to one of their circles or to a friend's group.
//
// Of so many per thousand posts, if asked for, the author takes two to four of their groups, or all
// where those are few.
//
// One post in eight is for whoever is a member now, the others for the members at posting. A
// quarter of the groups open their past to joiners.
//
// Also decides who may leave: about one in eight memberships, never an owner's. Whoever checks a
// read while people come and go asks it about the others.
//
// Thread safety: any thread. The graph must outlive it.

#include <string>
#include <vector>

#include "bench/load/plan/graph.h"
#include "bench/load/plan/random.h"

namespace klatch::load {

struct PlannedPost {
  uint64_t number = 0;
  PersonNumber author = kNobody;
  GroupNumber group = 0;
  bool members_now = false;
  // Of a post to several: the others.
  std::vector<GroupNumber> others = {};
  // It goes to all groups of its author instead, `group` among them.
  bool all_my_groups = false;

  bool is_several() const { return all_my_groups || !others.empty(); }
  // Makes it one to this group alone, in somebody's name.
  void GiveTo(PersonNumber new_author, GroupNumber new_group) {
    author = new_author;
    group = new_group;
    others.clear();
    all_my_groups = false;
  }
};

class Plan {
 public:
  // `run` tells this run's idempotency keys from every other run's.
  Plan(const Graph& graph, uint64_t seed, std::string run, uint32_t several_per_thousand = 0)
      : graph_(graph),
        seed_(seed),
        run_(std::move(run)),
        several_per_thousand_(several_per_thousand) {}

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
  void AddGroups(PlannedPost& post, Random& random) const;

  const Graph& graph_;
  const uint64_t seed_;
  const std::string run_;
  const uint32_t several_per_thousand_;
};

}  // namespace klatch::load
