#pragma once
// A record of the log as workers need it: decoded once by the tailer, groups turned into indexes,
// shared by all workers over the broadcast ring. Slots of the ring are reused, so events keep their
// memory.
//
// Thread safety: written by the tailer before it is published; read-only for workers.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "services/log/log_reader.h"
#include "services/model/ids.h"
#include "services/model/membership.h"
#include "services/model/position.h"
#include "services/persons/group_directory.h"

namespace klatch {

struct MemberChange {
  enum class Kind : uint8_t { kJoined, kRoleChanged, kLeft };

  std::string person;
  PartitionIndex partition;
  Kind kind = Kind::kJoined;
  Role role = Role::kNone;  // kNone for kLeft
};

struct Event {
  enum class Kind : uint8_t {
    kPublished,
    kHomed,           // a post to several groups, for its author's profile only
    kCarried,         // the same for one of the groups
    kMembersChanged,  // also the first member of a new group
    kGroupDeleted,
    kNothing,     // not even time: the record could not be decoded
    kTimePassed,  // a tick, and everything that only moves the position, such as policy
    kEdited,      // for watches; what is shown of an update is its body
    kDeleted,
    kTakenOut,          // of a post to several groups: one has it no longer
    kDeliverySwitched,  // the group's updates are read from its feed from here on, or copied again
  };

  Position position;
  Kind kind = Kind::kTimePassed;
  GroupIndex group;  // 0 of what is about no group

  // kMembersChanged, of who joined: where what they see begins, if that is not the event itself; and
  // whether something stands there.
  std::optional<Position> visible_from;
  bool has_past = false;

  // kCarried, kEdited, kDeleted, kTakenOut: which update. Otherwise an update's id is the position.
  UpdateId update;
  // kEdited, kDeleted of an update of several groups: those that took it; `group` is none then.
  std::vector<GroupIndex> groups;

  // kPublished: nobody who watches is told.
  bool is_imported = false;
  // kDeliverySwitched.
  bool is_pulled = false;

  // kPublished, kHomed.
  std::string author;
  PartitionIndex author_partition;

  // kMembersChanged: the first change_count are of this event; the rest is kept memory.
  std::vector<MemberChange> changes;
  size_t change_count = 0;
};

// Fills `event` from `entry`; adds the group to `groups` at first sight, and notes there how its
// updates are delivered, so that readers know before any worker does. RESOURCE_EXHAUSTED if the
// directory is full, DATA_LOSS if the record says nothing that this version knows.
absl::Status DecodeEvent(const LogEntry& entry, const Layout& layout, GroupDirectory& groups,
                         Event& event);

}  // namespace klatch
