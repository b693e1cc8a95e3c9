#pragma once
// How far this node had applied each shard at one moment. Memberships that are loaded after that
// moment are at least as new, so they can judge every update up to there; later ones they can't,
// because a leave that stands before them in the log may not be applied yet.
//
// Immutable.

#include <algorithm>
#include <vector>

#include "services/deliver/progress.h"
#include "services/model/body.h"
#include "services/model/position.h"

namespace klatch {

class AppliedPrefix {
 public:
  AppliedPrefix(const Progress& progress, uint32_t shard_count) {
    positions_.reserve(shard_count);
    for (uint32_t shard = 0; shard < shard_count; ++shard) {
      positions_.push_back(progress.Applied(ShardIndex(shard)));
    }
  }

  // How far one worker has come, which is no less: the prefix of what that worker alone writes.
  AppliedPrefix(const Progress& progress, uint32_t shard_count, uint32_t worker) {
    positions_.reserve(shard_count);
    for (uint32_t shard = 0; shard < shard_count; ++shard) {
      positions_.push_back(progress.AppliedBy(worker, ShardIndex(shard)));
    }
  }

  const std::vector<Position>& positions() const { return positions_; }

  // False for a shard that doesn't exist.
  bool Covers(UpdateId id) const {
    const uint32_t shard = id.shard().value();
    return shard < positions_.size() && id <= positions_[shard];
  }
  // Whether it is known what all groups of the update have decided, and applied where they took it.
  bool CoversAllOf(const BodyHeader& header) const {
    return std::ranges::all_of(header.targets, [this](const Target& target) {
      return target.carry.is_carried() ? Covers(target.carry.position) : target.carry.is_decided();
    });
  }
  // REQUIRES: the shard exists.
  Position Of(ShardIndex shard) const { return positions_[shard.value()]; }

 private:
  std::vector<Position> positions_;
};

}  // namespace klatch
