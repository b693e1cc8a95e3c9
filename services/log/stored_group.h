#pragma once
// A group as the log's scripts keep it in Redis. Plain values.

#include <chrono>
#include <cstdint>
#include <string>

#include "services/model/body.h"
#include "services/model/ids.h"
#include "services/model/membership.h"
#include "services/model/position.h"

namespace klatch {

enum class Joining : uint8_t { kByInvitation = 1, kOpen = 2 };

// How much of a group's past is kept: what is beyond one of these goes, oldest first. 0 is no bound.
struct GroupRetention {
  std::chrono::milliseconds age{0};
  uint32_t count = 0;  // updates
  uint64_t bytes = 0;  // of updates, as they are stored

  bool is_bounded() const { return age.count() != 0 || count != 0 || bytes != 0; }
  bool operator==(const GroupRetention&) const = default;
};

// What its owners decide.
struct GroupFields {
  GroupId id;
  std::string display_name;
  std::string description;
  History history = History::kNone;
  AudienceRule default_audience = AudienceRule::kMembersAtPosting;
  Role post_role = Role::kMember;    // the lowest that may post
  Role add_role = Role::kModerator;  // the lowest that may add others
  Joining joining = Joining::kByInvitation;
  uint32_t history_count = 0;  // with History::kLast: how many updates; 0 otherwise
  bool closed = false;         // nobody posts, edits or joins
  GroupRetention retention = {};
};

enum class GroupState { kActive, kDeleted };

struct StoredGroup {
  GroupFields fields;
  GroupState state = GroupState::kActive;
  uint64_t member_count = 0;
  uint64_t owner_count = 0;
  uint64_t feed_count = 0;  // how many updates were ever published to it
  bool is_pulled = false;   // its updates are read from its feed, not copied to members
  Position created;
  Position deleted;  // zero unless state is kDeleted
};

}  // namespace klatch
