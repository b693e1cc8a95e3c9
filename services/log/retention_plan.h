#pragma once
// What a group keeps no longer, decided from its bounds, the time and its feed. Pure functions.
//
//   feed, oldest first:   u1   u2   u3   c4   u5   u6          (c4: of several groups)
//                         ────gone────│──────kept──────▶
//                                     kept_since = position of c4 in this group
//
// A feed is in the order of the group's log, so what is gone is a beginning of it, and what is kept an
// end.

#include <cstdint>
#include <optional>
#include <span>

#include "services/log/stored_group.h"
#include "services/model/position.h"

namespace klatch {

struct FeedItem {
  UpdateId id;
  // In the group. Nothing of a post to several groups of which that is known no longer: it is gone.
  std::optional<Position> position;
  uint64_t bytes = 0;  // of the stored body; 0 if there is none
};

// The tighter one of each bound of a group and of its namespace.
GroupRetention Tighter(const GroupRetention& a, const GroupRetention& b);

// From which position on the group's past is kept: `kept_since` unless one of the items is beyond a
// bound. The newest item stays whatever its size. Never before `kept_since`.
// `items`: oldest first, at least those that are kept. REQUIRES: positions are of `shard`.
Position KeptSince(const GroupRetention& bounds, std::span<const FeedItem> items, ShardIndex shard,
                   int64_t now_unix_ms, Position kept_since);

// How many items at the beginning are before `kept_since`.
size_t CountGone(std::span<const FeedItem> items, ShardIndex shard, Position kept_since);

}  // namespace klatch
