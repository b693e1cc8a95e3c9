#pragma once
// What happened during a run, as the answers told it: who was a member of which group from which
// position to which, and what was posted. Each thread writes a History of its own; the model takes
// them all when the threads have ended.

#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

#include "bench/load/plan/graph.h"

namespace klatch::load {

enum class Turn : uint8_t {
  kJoined,
  // Joined while the group's policy opened its past to joiners.
  kJoinedOpen,
  kLeft,
  // A call about this membership stayed undecided: from here on the model does not judge it.
  kUncertain,
};

struct MembershipTurn {
  GroupNumber group = 0;
  PersonNumber person = 0;
  uint64_t position = 0;
  Turn turn = Turn::kJoined;
};

// What became of a post after it was accepted.
enum class Fate : uint8_t {
  kAsPosted,
  kEdited,
  kMaybeEdited,  // the edit stayed undecided
  kDeleted,
  kMaybeDeleted,
};

// Where a group has a post: at its id, or, of a post to several groups, at its carry.
struct Place {
  GroupNumber group = 0;
  uint64_t position = 0;
};

struct PostRecord {
  uint64_t id = 0;
  uint64_t number = 0;  // in the plan
  // Of several: the first that took it.
  GroupNumber group = 0;
  PersonNumber author = 0;
  // Audience "members now" instead of "members at posting".
  bool members_now = false;
  Fate fate = Fate::kAsPosted;
  // Of a post to several groups: those that took it.
  std::vector<Place> carries = {};
  // Groups that are none of the graph's took it too, and who reads it there isn't known.
  bool elsewhere = false;
  // Or meant to be.
  std::chrono::steady_clock::time_point sent = {};

  bool is_several() const { return !carries.empty() || elsewhere; }
  template <typename Take>
  void ForEachPlace(const Take& take) const {
    if (!is_several()) {
      take(Place{group, id});
    }
    for (const Place& place : carries) {
      take(place);
    }
  }
};

// A post that was refused because its author, who may leave, was said to be no member.
struct Refusal {
  GroupNumber group = 0;
  PersonNumber author = 0;
};

// A post that was sent while its reader wanted nothing of its author or group.
struct UnwantedPost {
  PersonNumber reader = 0;
  uint64_t update = 0;
  // When the call was about to be sent that made it wanted again; until then nobody may show it.
  std::chrono::steady_clock::time_point until = std::chrono::steady_clock::time_point::max();
};

struct History {
  // 24 bytes each.
  std::vector<MembershipTurn> turns;
  std::vector<PostRecord> posts;
  // Numbers in the plan of posts that stayed undecided.
  std::vector<uint64_t> unknown_posts;
  std::vector<Refusal> refusals;
  std::vector<UnwantedPost> unwanted;
};

}  // namespace klatch::load
