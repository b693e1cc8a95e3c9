#pragma once
// What the threads of one run share: counters for progress, the end, and how far each shard's log
// was written by us.
//
// Thread safety: any thread. All atomics here are counters and flags that publish nothing; relaxed
// order suffices, results pass between threads by join.

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "bench/load/calls/pace.h"
#include "bench/load/plan/graph.h"
#include "klatch/v1/resources.pb.h"
#include "services/model/position.h"

namespace klatch::load {

inline int64_t SteadyMilliseconds() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// The highest position of each shard that a call of this run was answered with.
class Watermarks {
 public:
  void Raise(uint32_t shard, uint64_t position) {
    if (shard >= positions_.size()) {
      return;
    }
    std::atomic<uint64_t>& mark = positions_[shard];
    uint64_t seen = mark.load(std::memory_order_relaxed);
    while (seen < position &&
           !mark.compare_exchange_weak(seen, position, std::memory_order_relaxed)) {
    }
  }
  // By shard; 0 where nothing was written.
  std::vector<uint64_t> Positions() const {
    std::vector<uint64_t> positions;
    for (const std::atomic<uint64_t>& mark : positions_) {
      positions.push_back(mark.load(std::memory_order_relaxed));
    }
    return positions;
  }
  std::vector<klatch::v1::Token> Tokens() const {
    std::vector<klatch::v1::Token> tokens;
    for (uint32_t shard = 0; shard < positions_.size(); ++shard) {
      uint64_t position = positions_[shard].load(std::memory_order_relaxed);
      if (position != 0) {
        tokens.emplace_back();
        tokens.back().set_shard(shard);
        tokens.back().set_position(position);
      }
    }
    return tokens;
  }

 private:
  std::array<std::atomic<uint64_t>, kShardCountMax> positions_{};
};

struct RunState {
  RunState(const std::atomic<bool>& interrupted_flag, const Graph& graph)
      : interrupted(interrupted_flag),
        group_sizes(graph.group_count()),
        group_posts(graph.group_count()),
        opens_past(graph.group_count(), 0) {
    for (GroupNumber group = 0; group < graph.group_count(); ++group) {
      group_sizes[group].store(static_cast<uint32_t>(graph.group(group).members.size()),
                               std::memory_order_relaxed);
    }
  }

  bool MustStop() const {
    return interrupted.load(std::memory_order_relaxed) ||
           server_gone.load(std::memory_order_relaxed);
  }

  // When the first post is meant to be sent. Written before the load's threads start.
  std::chrono::steady_clock::time_point start;
  // Set by the signal handler.
  const std::atomic<bool>& interrupted;
  // Nobody has got an answer for longer than retries last.
  std::atomic<bool> server_gone{false};
  std::atomic<int64_t> last_answer_ms{SteadyMilliseconds()};

  std::atomic<uint64_t> next_post{0};
  std::atomic<uint64_t> published{0};
  std::atomic<uint64_t> deliveries_expected{0};
  std::atomic<uint64_t> unknown{0};
  std::atomic<uint64_t> departures{0};
  // Of those, the ones who had seen something of the group before, so that it could leak.
  std::atomic<uint64_t> telling_departures{0};
  std::atomic<uint64_t> returns{0};
  std::atomic<uint64_t> revisions{0};
  // Of the published: those to several groups.
  std::atomic<uint64_t> several{0};
  // Blocks, mutes and hidden updates that were made and undone.
  std::atomic<uint64_t> quarrels{0};
  std::atomic<uint64_t> retries{0};
  // Posts and pages of an open loop that the node refused, having too much to do.
  std::atomic<uint64_t> shed{0};
  // Posts and pages that publishers, or the open loop, had answered.
  std::atomic<uint64_t> answered{0};
  // Of an open loop: operations that were due, and those that we, not the node, sent late.
  std::atomic<uint64_t> offered{0};
  std::atomic<uint64_t> sent_late{0};
  // The publishers have ended: what is still to be done beside them is done without waiting.
  std::atomic<bool> publishing_done{false};
  // About how many members each group has now, for the progress towards a number of deliveries.
  std::vector<std::atomic<uint32_t>> group_sizes;
  std::vector<std::atomic<uint32_t>> group_posts;
  // By group: whether who joins sees its past. Written while groups are set up, read afterwards.
  std::vector<uint8_t> opens_past;
  // What goes on beside the posts. Made before the load's threads start.
  std::vector<std::unique_ptr<Pace>> companions;

  Watermarks watermarks;
};

}  // namespace klatch::load
