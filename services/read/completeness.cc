#include "services/read/completeness.h"

#include <algorithm>

namespace klatch {
namespace {

google::protobuf::Timestamp FromUnixMs(int64_t unix_ms) {
  google::protobuf::Timestamp time;
  time.set_seconds(unix_ms / 1000);
  time.set_nanos(static_cast<int32_t>(unix_ms % 1000) * 1'000'000);
  return time;
}

}  // namespace

google::protobuf::Timestamp TimeOf(Position position) { return FromUnixMs(position.unix_ms()); }

klatch::v1::Completeness CompletenessOf(std::span<const ShardIndex> shards,
                                        const AppliedPrefix& applied, const Progress& progress,
                                        const base::Clock& clock,
                                        std::chrono::milliseconds stale_limit) {
  klatch::v1::Completeness completeness;
  if (shards.empty()) {
    // A join may stand in any shard, and nothing says how far those have come that nobody reads.
    return completeness;
  }
  // Positions of different shards don't compare, but their milliseconds do.
  int64_t lowest_ms = applied.Of(shards.front()).unix_ms();
  for (ShardIndex shard : shards) {
    lowest_ms = std::min(lowest_ms, applied.Of(shard).unix_ms());
  }
  // Others may still come within the millisecond of the last one that was applied.
  *completeness.mutable_complete_until() = FromUnixMs(lowest_ms - 1);
  if (clock.Monotonic() - progress.LastHeard() > stale_limit) {
    for (ShardIndex shard : shards) {
      completeness.add_stale_shards(shard.value());
    }
  }
  return completeness;
}

uint64_t HoleForOthers(uint64_t since) {
  return Position(Position(since).ms(), ShardIndex(0), 0).value();
}

uint64_t OlderHole(uint64_t a, uint64_t b) {
  if (a == 0 || b == 0) {
    return std::max(a, b);
  }
  return std::min(a, b);
}

}  // namespace klatch
