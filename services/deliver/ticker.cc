#include "services/deliver/ticker.h"

#include <pthread.h>

namespace klatch {
namespace {

constexpr std::chrono::milliseconds kPeriod{200};
constexpr std::chrono::milliseconds kIdleFor{1000};
constexpr std::chrono::milliseconds kReadWithin{2000};

}  // namespace

Ticker::Ticker(uint32_t shard_count, Appender& appender, const Progress& progress,
               const base::Clock& clock)
    : appender_(appender), progress_(progress), clock_(clock), shards_(shard_count) {}

Ticker::~Ticker() { Stop(); }

void Ticker::Start() {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "ticker");
    Run();
  });
}

void Ticker::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Ticker::Run() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kPeriod, [this] { return stopping_; })) {
    lock.unlock();
    DoWork();
    lock.lock();
  }
}

size_t Ticker::DoWork() {
  const base::MonotonicTime now = clock_.Monotonic();
  size_t ticks = 0;
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
      ++ticks;
    }
  }
  return ticks;
}

base::Task<void> Ticker::Tick(ShardIndex shard) {
  // A tick that fails is made up for by the next; readers see the age of what they get.
  auto appended = appender_.Tick(shard);
  co_await std::move(appended);
}

}  // namespace klatch
