#pragma once
// What has happened lately and is not found in timelines and memberships: edits and deletions, and
// when posts to several groups came to them, by group; leaves by person. A watch that resumes is told what it missed of it.
//
// Thread safety: one thread, the live thread.
// Bound: entries_max entries, the oldest go first. `Reaches` says whether nothing is missing above
// a place.

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "services/live/outbox.h"
#include "services/model/ids.h"
#include "services/model/position.h"

namespace klatch {

class WatchHistory {
 public:
  // Knows everything above `floor`, one position per shard.
  WatchHistory(size_t entries_max, std::vector<Position> floor);

  // kPublished, kEdited, kTakenOut and kDeleted. In the order of the log of each shard.
  void AddChange(const WatchedEvent& event);
  // kLeft, of person `person` of worker `worker`.
  void AddLeave(uint32_t worker, uint32_t person, const WatchedEvent& event);
  // Something may be missing up to there.
  void Cut(Position position);
  void Cut(std::span<const Position> positions);

  bool Reaches(std::span<const Position> floor) const;

  // What stands in (after, until], by shard.
  std::vector<WatchedEvent> ChangesOf(GroupIndex group, std::span<const Position> after,
                                      std::span<const Position> until) const;
  std::vector<WatchedEvent> LeavesOf(uint32_t worker, uint32_t person,
                                     std::span<const Position> after,
                                     std::span<const Position> until) const;

  size_t size() const { return order_.size(); }

 private:
  // A group; or a worker and one of its persons, told apart by the highest bit.
  using Subject = uint64_t;
  static Subject OfGroup(GroupIndex group) { return group.value(); }
  static Subject OfPerson(uint32_t worker, uint32_t person) {
    return uint64_t{1} << 63 | uint64_t{worker} << 32 | person;
  }

  void Add(Subject subject, const WatchedEvent& event);
  std::vector<WatchedEvent> Between(Subject subject, std::span<const Position> after,
                                    std::span<const Position> until) const;

  const size_t entries_max_;
  std::vector<Position> floor_;
  absl::flat_hash_map<Subject, std::deque<WatchedEvent>> entries_;
  std::deque<Subject> order_;  // of the entries, oldest first
};

}  // namespace klatch
