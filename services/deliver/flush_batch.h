#pragma once
// What a worker hands its flusher: everything that it made dirty since the batch before, and how
// far it had applied the log. When all of it is written, the checkpoint may move to those
// positions.
//
// Lifetime: a value, passed from the worker to the flusher whole.
// Bound: one entry per timeline and membership changed within one flush interval.

#include <cstdint>
#include <vector>

#include "services/model/ids.h"
#include "services/model/membership.h"
#include "services/model/position.h"

namespace klatch {

// Which of a person's timelines: the person's index within the worker, and home or posts.
struct TimelineRef {
  enum class Kind : uint8_t { kHome = 0, kPosts = 1 };

  constexpr TimelineRef(uint32_t person_index, Kind timeline_kind)
      : value(person_index << 1 | static_cast<uint32_t>(timeline_kind)) {}
  constexpr uint32_t person() const { return value >> 1; }
  constexpr Kind kind() const { return static_cast<Kind>(value & 1); }

  uint32_t value;
};

// A person's membership as it is now.
struct ViewChange {
  uint32_t person = 0;
  GroupIndex group;
  Stay stay;
  Position position;
};

// A person whose home timeline lost copies.
struct HoleMark {
  uint32_t person = 0;
  uint64_t since = 0;
  uint64_t generation = 0;  // tells whether more was lost after a rebuild had begun
};

// An entry that memory had no room for and that no feed could give back: it goes to the stored ring
// directly.
struct SpilledEntry {
  TimelineRef timeline;
  uint64_t id;
};

struct RebuiltHole {
  uint32_t person = 0;
  uint64_t generation = 0;
};

// What a flusher tells its worker, the only one to write what readers look at.
struct FlusherNews {
  std::vector<RebuiltHole> rebuilt = {};
  // Persons whose stored home timeline held something else and is written anew.
  std::vector<uint32_t> replaced = {};
  // Tombstones that are not in Redis any more, since the checkpoint has passed them.
  std::vector<ViewChange> removed = {};

  bool empty() const { return rebuilt.empty() && replaced.empty() && removed.empty(); }
};

// A person who gets no copies from now on, or gets them again.
struct QuietChange {
  uint32_t person = 0;
  uint64_t since = 0;  // 0: again
};

struct FlushBatch {
  std::vector<TimelineRef> timelines;
  std::vector<ViewChange> views;
  std::vector<uint32_t> new_persons;
  std::vector<HoleMark> holes;
  std::vector<SpilledEntry> spilled;
  // Holes whose rebuild the worker has confirmed: nothing was lost since.
  std::vector<uint32_t> mended;
  // In their order: the last of a person counts.
  std::vector<QuietChange> quiet;
  std::vector<Position> applied;  // by shard
  // It was made for an earlier call, so it may lack what the worker had applied before this one.
  bool late = false;

  // Whether anything but positions has changed.
  bool HasChanges() const {
    return !timelines.empty() || !views.empty() || !new_persons.empty() || !holes.empty() ||
           !mended.empty() || !quiet.empty();
  }
};

}  // namespace klatch
