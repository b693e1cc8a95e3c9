#include "services/deliver/ticker.h"

namespace klatch {
namespace {

constexpr std::chrono::milliseconds kTickerPeriod{200};
constexpr std::chrono::milliseconds kIdleFor{1000};
constexpr std::chrono::milliseconds kReadWithin{2000};

}  // namespace

Ticker::Ticker(uint32_t shard_count, Appender& appender, const Progress& progress,
               const base::Clock& clock)
    : appender_(appender),
      progress_(progress),
      clock_(clock),
      shards_(shard_count),
      thread_("ticker", kTickerPeriod, [this] { DoWork(); }) {}

void Ticker::DoWork() {
  const base::MonotonicTime now = clock_.Monotonic();
  for (uint32_t i = 0; i < shards_.size(); ++i) {
    const ShardIndex shard(i);
    ShardState& state = shards_[i];
    const Position applied = progress_.Applied(shard);
    if (applied != state.position) {
      state = {applied, now};
      continue;
    }
    if (now - state.changed >= kIdleFor && now - progress_.LastRead(shard) <= kReadWithin) {
      // Not again before another second, whether or not this one arrives.
      state.changed = now;
      base::Spawn(Tick(shard));
    }
  }
}

base::Task<void> Ticker::Tick(ShardIndex shard) {
  // A tick that fails is made up for by the next; readers see the age of what they get.
  auto appended = appender_.Tick(shard);
  static_cast<void>(co_await std::move(appended));
}

}  // namespace klatch
