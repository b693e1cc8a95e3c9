#pragma once
// The furthest time at which a record stands in any log, as far as this node has seen. Each log goes on where it
// ended even if Redis's clock goes back, but logs that were quiet would go on below the others then, and
// timelines, whose order is that of ids, would take what is new for old. So nodes tell each log how far the others are.
//
//   clock.Note(entry.position);                  // whatever is read, and whatever was appended
//   command = Eval(script, keys, {clock.Argument(shard), …});
//
// From there on it goes on by itself, so that ids of several logs still come in the order of time, but at 15/16 of the
// usual speed: Redis's clock catches up with it.
//
// Thread safety: any thread. Lifetime: the clock outlives this.
// Bound: a log that is further ahead of Redis's clock than kAheadMaxMs stays the only one.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "common/base/clock.h"
#include "services/model/ids.h"
#include "services/model/position.h"

namespace klatch {

class LogClock {
 public:
  static constexpr uint64_t kAheadMaxMs = 24 * 60 * 60 * 1'000;  // as in append.lua

  explicit LogClock(const base::Clock& clock) : clock_(clock) {}

  void Note(Position position) {
    const int64_t seen = static_cast<int64_t>(position.ms()) * kParts - MovedParts();
    // Relaxed: a number that only grows and publishes nothing.
    int64_t known = parts_.load(std::memory_order_relaxed);
    while (seen > known && !parts_.compare_exchange_weak(known, seen, std::memory_order_relaxed)) {
    }
  }

  // Where the furthest log would be now: milliseconds since 2024.
  uint64_t FurthestMs() const {
    const int64_t parts = parts_.load(std::memory_order_relaxed) + MovedParts();
    return parts > 0 ? static_cast<uint64_t>(parts / kParts) : 0;
  }

  // The time at which a record is appended when Redis's clock says `redis_ms`, both since 2024.
  uint64_t Present(uint64_t redis_ms) const {
    const uint64_t furthest = FurthestMs();
    return furthest > redis_ms && furthest - redis_ms <= kAheadMaxMs ? furthest : redis_ms;
  }

  // What a script of the log takes as its first argument: the shard, and this time above it. A double holds it.
  std::string Argument(ShardIndex shard) const {
    return std::to_string(FurthestMs() << kShardBits | shard.value());
  }

 private:
  static constexpr int64_t kParts = 16;  // of a millisecond

  // How far it has moved by itself.
  int64_t MovedParts() const {
    const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
        clock_.Monotonic().time_since_epoch());
    return now.count() * (kParts - 1);
  }

  const base::Clock& clock_;
  std::atomic<int64_t> parts_{INT64_MIN / 2};
};

}  // namespace klatch
