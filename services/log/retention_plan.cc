#include "services/log/retention_plan.h"

#include <algorithm>

namespace klatch {
namespace {

template <typename Bound>
Bound TighterBound(Bound a, Bound b) {
  // 0 is no bound.
  if (a == Bound{0} || b == Bound{0}) {
    return std::max(a, b);
  }
  return std::min(a, b);
}

// Where an item stands in the group, or where it could not stand before.
Position PlaceOf(const FeedItem& item, ShardIndex shard) {
  return item.position.value_or(Position(item.id.ms(), shard, 0));
}

Position ByAge(std::chrono::milliseconds age, ShardIndex shard, int64_t now_unix_ms) {
  const int64_t oldest_ms = now_unix_ms - age.count() - kEpochUnixMs;
  return oldest_ms <= 0 ? Position() : Position(static_cast<uint64_t>(oldest_ms), shard, 0);
}

// The position of the item at `first`; if that isn't known, of the next newer one of which it is.
Position FromItem(std::span<const FeedItem> items, size_t first) {
  const auto kept = items.subspan(first);
  const auto known =
      std::ranges::find_if(kept, [](const FeedItem& item) { return item.position.has_value(); });
  return known == kept.end() ? Position() : *known->position;
}

// The first of the newest items that together take no more than `bytes`.
size_t FirstWithin(std::span<const FeedItem> items, uint64_t bytes) {
  uint64_t sum = 0;
  size_t first = items.size();
  while (first > 0) {
    sum += items[first - 1].bytes;
    if (sum > bytes && first != items.size()) {
      break;
    }
    --first;
  }
  return first;
}

}  // namespace

GroupRetention Tighter(const GroupRetention& a, const GroupRetention& b) {
  return {TighterBound(a.age, b.age), TighterBound(a.count, b.count),
          TighterBound(a.bytes, b.bytes)};
}

Position KeptSince(const GroupRetention& bounds, std::span<const FeedItem> items, ShardIndex shard,
                   int64_t now_unix_ms, Position kept_since) {
  Position since;
  if (bounds.age.count() != 0) {
    since = ByAge(bounds.age, shard, now_unix_ms);
  }
  if (bounds.count != 0 && items.size() > bounds.count) {
    since = std::max(since, FromItem(items, items.size() - bounds.count));
  }
  if (bounds.bytes != 0) {
    const size_t first = FirstWithin(items, bounds.bytes);
    if (first != 0) {
      since = std::max(since, FromItem(items, first));
    }
  }
  // A bound that takes nothing away makes no record.
  const bool takes_some = std::ranges::any_of(items, [&](const FeedItem& item) {
    const Position place = PlaceOf(item, shard);
    return place >= kept_since && place < since;
  });
  return takes_some ? since : kept_since;
}

size_t CountGone(std::span<const FeedItem> items, ShardIndex shard, Position kept_since) {
  const auto kept = std::ranges::find_if(
      items, [&](const FeedItem& item) { return PlaceOf(item, shard) >= kept_since; });
  return static_cast<size_t>(kept - items.begin());
}

}  // namespace klatch
