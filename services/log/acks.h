#pragma once
// Waiting for the copies that an answer promises (model/ack.h), for one Redis with or without replicas.
//
//   absl::Status offered = co_await acks.Offered(AckClass::kStrict);   // before anything is written
//   …
//   absl::Status known = co_await acks.AwaitRecords(AckClass::kStrict, positions);
//
// Whoever needs one copy does not wait for who needs all: each has a connection of its own.
//
// Thread safety: every method from any thread; tasks continue on a pipeline's thread.
// Lifetime: the pipelines and this outlive every task.
// Bounds: AckLane's; a wait ends after Options::wait_max, a slice, and what the pipeline's calls may take.
// Errors: UNAVAILABLE with reason OUTCOME_UNKNOWN if the copies are not known of.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/base/task.h"
#include "common/redis/pipeline.h"
#include "services/log/ack_lane.h"
#include "services/model/ack.h"
#include "services/model/keys.h"
#include "services/model/layout.h"
#include "services/model/position.h"

namespace klatch {

class Acks {
 public:
  struct Options {
    AckClass usual = AckClass::kLocal;
    // kStrict wants so many replicas at least.
    uint32_t strict_replicas_min = 0;
    std::chrono::milliseconds wait_max{2'000};
    // Redis waits for so long at a time; less than what the pipelines' calls may take.
    std::chrono::milliseconds slice{200};
  };

  // `has_seen_replicas`: whether this process has ever seen any, or knows that there are some; kept from
  // one Acks to the next, and outlives this.
  Acks(redis::Pipeline& one, redis::Pipeline& all, const Layout& layout,
       std::atomic<bool>& has_seen_replicas, const base::Clock& clock, const Options& options);

  // Nothing has to be asked for it.
  bool IsLocal(AckClass ack) const { return Resolve(ack) == AckClass::kLocal; }

  // Whether Redis can give it. FAILED_PRECONDITION ("ack") with reason ACK_NOT_OFFERED: not as it is
  // set up; UNAVAILABLE with reason NOT_SENT: not at the moment.
  base::Task<absl::Status> Offered(AckClass ack);

  // For the records at these positions, each of which must be in the log. Position zero is none.
  // REQUIRES: they are of one shard.
  base::Task<absl::Status> AwaitRecords(AckClass ack, std::vector<Position> records);

  // kStrongest for what is no record: as AckLane::Question.
  base::Task<absl::Status> AwaitState(
      std::vector<redis::Command> looks,
      std::function<absl::Status(std::span<const redis::Reply>)> holds);

  // Waits that asked Redis, and those of them that ended unknown, since the start.
  uint64_t waits() const { return waits_.load(std::memory_order_relaxed); }
  uint64_t unknown() const { return unknown_.load(std::memory_order_relaxed); }

 private:
  AckClass Resolve(AckClass ack) const { return ack == AckClass::kUsual ? options_.usual : ack; }
  AckLane& LaneOf(AckClass ack) { return ack == AckClass::kReplicated ? one_ : all_; }
  bool HasSeenReplicas() const { return has_seen_replicas_.load(std::memory_order_relaxed); }
  // What kStrict wants. Of a Redis that has, or had, replicas, one at least: without any it may be a master
  // that nobody follows any more.
  uint32_t StrictReplicasMin() const {
    return std::max(options_.strict_replicas_min, HasSeenReplicas() ? 1U : 0U);
  }
  // Not older than kFactsKept.
  base::Task<absl::StatusOr<CopyFacts>> Facts(AckLane& lane);
  base::Task<absl::Status> Wait(AckClass ack, AckLane::Question question);

  std::atomic<bool>& has_seen_replicas_;  // relaxed: a flag that publishes nothing
  AckLane one_;
  AckLane all_;
  const Keys keys_;
  const base::Clock& clock_;
  const Options options_;
  // Counters for scraping; they publish nothing.
  std::atomic<uint64_t> waits_{0};
  std::atomic<uint64_t> unknown_{0};
};

}  // namespace klatch
