// What a node tells operators of itself.

#include <algorithm>
#include <chrono>

#include "common/base/version.h"
#include "services/klatchd/node_slice.h"

namespace klatch {

NodeFacts Node::AdminFacts() const {
  const base::MonotonicTime now = clock_.Monotonic();
  NodeFacts facts;
  facts.version = base::kVersion;
  facts.node_id = node_id_;
  facts.redis_address = address_.ToString();
  facts.loaded = loaded_;
  facts.reasons = readiness().reasons;
  for (uint32_t i = 0; i < layout_.partition_count; ++i) {
    const std::chrono::nanoseconds left = leases_.HeldFor(PartitionIndex(i), now);
    facts.partitions_held += left.count() > 0 ? 1 : 0;
    facts.lease_left = i == 0 ? left : std::min(facts.lease_left, left);
  }
  facts.persons = people_.size();
  facts.groups = groups_.size();
  facts.unflushed_entries = UnflushedEntries();
  facts.unflushed_memberships = UnflushedMemberships();
  facts.checkpoint_lag = std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double>(CheckpointLagSeconds()));
  facts.append_queue_age = appender_.OldestAge();
  facts.calls = gate_.under_way();
  facts.watches = live_->streams();
  facts.watched_persons = live_->persons();
  return facts;
}

uint64_t Node::UnflushedEntries() const {
  uint64_t unflushed = 0;
  for (const auto& slice : slices_) {
    // The worker counts a batch behind what the flusher may have written of it already.
    const uint64_t flushed = slice->flusher->flushed();
    unflushed += std::max(slice->worker.delivered(), flushed) - flushed;
  }
  return unflushed;
}

uint64_t Node::UnflushedMemberships() const {
  uint64_t unflushed = 0;
  for (const auto& slice : slices_) {
    const uint64_t flushed = slice->flusher->memberships_flushed();
    unflushed += slice->worker.memberships_changed() - flushed;
  }
  return unflushed;
}

double Node::CheckpointLagSeconds() const {
  std::chrono::duration<double> lag{0};
  for (const auto& slice : slices_) {
    lag = std::max<std::chrono::duration<double>>(
        lag, clock_.Monotonic() - slice->flusher->written_until());
  }
  return lag.count();
}

}  // namespace klatch
