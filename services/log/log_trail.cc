#include "services/log/log_trail.h"

#include <algorithm>

namespace klatch {

LogFinding Judge(const LogMark& mark, const LogLook& look) {
  if (look.is_there) {
    return look.nonce == mark.nonce ? LogFinding::kWhole : LogFinding::kForked;
  }
  const bool was_trimmed = look.first > mark.position && look.last >= mark.position;
  return was_trimmed ? LogFinding::kTrimmed : LogFinding::kForked;
}

void LogTrail::Note(Position position, uint64_t nonce) {
  Shard& shard = shards_[position.shard().value()];
  if (position <= Last(position.shard()).position) {
    return;
  }
  if (shard.marks.size() < kMarksMax) {
    shard.marks.push_back({position, nonce});
  } else {
    shard.marks[shard.next] = {position, nonce};
  }
  shard.next = (shard.next + 1) % kMarksMax;
}

LogMark LogTrail::Last(ShardIndex index) const {
  const Shard& shard = shards_[index.value()];
  return shard.marks.empty() ? LogMark() : shard.marks[(shard.next + kMarksMax - 1) % kMarksMax];
}

std::vector<LogMark> LogTrail::Of(ShardIndex index) const {
  const Shard& shard = shards_[index.value()];
  std::vector<LogMark> marks = shard.marks;
  if (marks.size() == kMarksMax) {
    std::ranges::rotate(marks, marks.begin() + static_cast<std::ptrdiff_t>(shard.next));
  }
  return marks;
}

void LogTrail::NoteFork(ShardIndex shard, uint64_t lost) {
  shards_[shard.value()] = {};
  forks_.fetch_add(1, std::memory_order_relaxed);
  lost_.fetch_add(lost, std::memory_order_relaxed);
}

void LogTrail::NoteGap(ShardIndex shard) {
  shards_[shard.value()] = {};
  gaps_.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace klatch
