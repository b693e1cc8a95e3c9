#pragma once
// What happened during a run, as the answers told it: who was a member of which group from which
// position to which, and what was posted. Each thread writes a History of its own; the model takes
// them all when the threads have ended.

#include <cstdint>
#include <vector>

#include "bench/load/graph.h"

namespace klatch::load {

enum class Turn : uint8_t {
  kJoined,
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

struct PostRecord {
  uint64_t id = 0;
  uint64_t number = 0;  // in the plan
  GroupNumber group = 0;
  PersonNumber author = 0;
};

struct History {
  // 24 bytes each.
  std::vector<MembershipTurn> turns;
  std::vector<PostRecord> posts;
  // Numbers in the plan of posts that stayed undecided.
  std::vector<uint64_t> unknown_posts;
  // Posts that were refused though their author was a member for certain.
  uint64_t refused_wrongly = 0;
  // Posts refused because their author had just left.
  uint64_t refused_rightly = 0;
};

}  // namespace klatch::load
