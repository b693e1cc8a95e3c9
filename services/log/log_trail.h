#pragma once
// What a node remembers of the logs that it follows: of each shard the newest records, by position and
// nonce. A Redis that was restarted, or replaced by a replica, may not have them any more although it had
// answered them (a fork), and then something else may stand behind them, or even at their positions.
//
//   trail.Note(entry.position, entry.record.nonce());      // the tailer, as it reads
//   … the node is taken apart, and another one starts on what Redis holds now …
//   … looks at each of trail.Of(shard), and trail.NoteFork(shard, lost) …
//
// Thread safety: one thread at a time, but for the counters, which any thread reads.
// Bound: of each shard the records of the last kKept, by its own time, the newest kMarksMax of them.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "services/model/ids.h"
#include "services/model/position.h"

namespace klatch {

struct LogMark {
  Position position;   // zero: nothing was read yet
  uint64_t nonce = 0;  // zero: not known
};

// What a look at a log says of a mark.
enum class LogFinding {
  kWhole,    // the record is there
  kTrimmed,  // it is not, nor are older ones, but newer ones are
  kForked,   // it never was, as the log is now
};

// What stands at a mark's position, and where nothing does, the log's ends.
struct LogLook {
  bool is_there = false;
  uint64_t nonce = 0;
  Position first;  // zero: the log is empty
  Position last;
};
LogFinding Judge(const LogMark& mark, const LogLook& look);

class LogTrail {
 public:
  // More than a Redis that syncs every second loses, or than a replica may be behind.
  static constexpr std::chrono::milliseconds kKept{10'000};
  static constexpr size_t kMarksMax = 65'536;

  explicit LogTrail(uint32_t shard_count) : shards_(shard_count), is_forked_(shard_count) {}

  uint32_t shard_count() const { return static_cast<uint32_t>(shards_.size()); }

  // In order within a shard; what is noted again, as after a restart, changes nothing.
  void Note(Position position, uint64_t nonce);
  // The newest of a shard.
  LogMark Last(ShardIndex shard) const;
  // Oldest first. Valid until the next call that is not const.
  const std::deque<LogMark>& Of(ShardIndex shard) const { return shards_[shard.value()]; }

  // The shard's log has forked: `lost` of its records are gone. What was remembered of it is void.
  void NoteFork(ShardIndex shard, uint64_t lost);
  // Its log was trimmed beyond what this node had read. What was remembered of it is void.
  void NoteGap(ShardIndex shard);
  // Whether a fork was noted that no node has mended yet: that is done when what it has taken anew is written.
  bool IsForked(ShardIndex shard) const { return is_forked_[shard.value()]; }
  void NoteMended() { is_forked_.assign(shards_.size(), false); }

  // Counters.
  uint64_t forks() const { return forks_.load(std::memory_order_relaxed); }
  uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }
  uint64_t gaps() const { return gaps_.load(std::memory_order_relaxed); }

 private:
  std::vector<std::deque<LogMark>> shards_;
  std::vector<bool> is_forked_;
  std::atomic<uint64_t> forks_{0};
  std::atomic<uint64_t> lost_{0};
  std::atomic<uint64_t> gaps_{0};
};

}  // namespace klatch
