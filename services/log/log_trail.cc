#include "services/log/log_trail.h"

namespace klatch {

LogFinding Judge(const LogMark& mark, const LogLook& look) {
  if (look.is_there) {
    return mark.nonce == 0 || look.nonce == mark.nonce ? LogFinding::kWhole : LogFinding::kForked;
  }
  const bool was_trimmed = look.first > mark.position && look.last >= mark.position;
  return was_trimmed ? LogFinding::kTrimmed : LogFinding::kForked;
}

void LogTrail::Note(Position position, uint64_t nonce) {
  std::deque<LogMark>& marks = shards_[position.shard().value()];
  if (!marks.empty() && position <= marks.back().position) {
    return;
  }
  marks.push_back({position, nonce});
  constexpr auto kKeptMs = static_cast<uint64_t>(kKept.count());
  while (marks.size() > kMarksMax || marks.front().position.ms() + kKeptMs < position.ms()) {
    marks.pop_front();
  }
}

LogMark LogTrail::Last(ShardIndex shard) const {
  const std::deque<LogMark>& marks = shards_[shard.value()];
  return marks.empty() ? LogMark() : marks.back();
}

void LogTrail::NoteFork(ShardIndex shard, uint64_t lost) {
  shards_[shard.value()].clear();
  is_forked_[shard.value()] = true;
  forks_.fetch_add(1, std::memory_order_relaxed);
  lost_.fetch_add(lost, std::memory_order_relaxed);
}

void LogTrail::NoteGap(ShardIndex shard) {
  shards_[shard.value()].clear();
  gaps_.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace klatch
