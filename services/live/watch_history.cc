#include "services/live/watch_history.h"

#include <algorithm>
#include <utility>

namespace klatch {

WatchHistory::WatchHistory(size_t entries_max, std::vector<Position> floor)
    : entries_max_(entries_max), floor_(std::move(floor)) {}

void WatchHistory::AddChange(const WatchedEvent& event) { Add(OfGroup(event.group), event); }

void WatchHistory::AddLeave(uint32_t worker, uint32_t person, const WatchedEvent& event) {
  Add(OfPerson(worker, person), event);
}

void WatchHistory::Add(Subject subject, const WatchedEvent& event) {
  if (order_.size() >= entries_max_) {
    const auto oldest = entries_.find(order_.front());
    Cut(oldest->second.front().position);
    oldest->second.pop_front();
    if (oldest->second.empty()) {
      entries_.erase(oldest);
    }
    order_.pop_front();
  }
  entries_[subject].push_back(event);
  order_.push_back(subject);
}

void WatchHistory::Cut(Position position) {
  Position& floor = floor_[position.shard().value()];
  floor = std::max(floor, position);
}

void WatchHistory::Cut(std::span<const Position> positions) {
  for (size_t shard = 0; shard < floor_.size(); ++shard) {
    floor_[shard] = std::max(floor_[shard], positions[shard]);
  }
}

bool WatchHistory::Reaches(std::span<const Position> floor) const {
  return std::ranges::equal(floor_, floor,
                            [](Position known, Position asked) { return known <= asked; });
}

std::vector<WatchedEvent> WatchHistory::ChangesOf(GroupIndex group, std::span<const Position> after,
                                                  std::span<const Position> until) const {
  return Between(OfGroup(group), after, until);
}

std::vector<WatchedEvent> WatchHistory::LeavesOf(uint32_t worker, uint32_t person,
                                                 std::span<const Position> after,
                                                 std::span<const Position> until) const {
  return Between(OfPerson(worker, person), after, until);
}

std::vector<WatchedEvent> WatchHistory::Between(Subject subject, std::span<const Position> after,
                                                std::span<const Position> until) const {
  std::vector<WatchedEvent> found;
  const auto entries = entries_.find(subject);
  if (entries == entries_.end()) {
    return found;
  }
  for (const WatchedEvent& event : entries->second) {
    const uint32_t shard = event.position.shard().value();
    if (event.position > after[shard] && event.position <= until[shard]) {
      found.push_back(event);
    }
  }
  return found;
}

}  // namespace klatch
