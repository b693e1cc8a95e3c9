// What a node shows at /metrics.

#include <algorithm>
#include <cctype>

#include "services/klatchd/node.h"
#include "services/klatchd/node_slice.h"

namespace klatch {
namespace {

// GAP_REASON_SLOW_READER as "slow_reader".
std::string GapName(v1::GapReason reason) {
  std::string name = v1::GapReason_Name(reason).substr(std::string_view("GAP_REASON_").size());
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

}  // namespace

void Node::Register(obs::MetricsRegistry& metrics) const {
  const auto sum = [this](auto member) {
    return [this, member] {
      uint64_t total = 0;
      for (const auto& slice : slices_) {
        total += member(*slice);
      }
      return total;
    };
  };
  metrics.AddCounter("klatch_log_records_total", "Records read off the log and handed to workers.",
                     {}, [this] { return tailer_->records(); });
  metrics.AddCounter("klatch_log_forks_total", "Logs that were not the ones that had been read.",
                     {}, [this] { return trail_.forks(); });
  metrics.AddCounter("klatch_log_lost_records_total",
                     "Records that had been read and were not in the log any more.", {},
                     [this] { return trail_.lost(); });
  metrics.AddCounter("klatch_log_gaps_total",
                     "Logs that had been trimmed beyond what had been read.", {},
                     [this] { return trail_.gaps(); });
  metrics.AddCounter("klatch_log_trimmed_records_total",
                     "Records removed from the log's old end by this node.", {},
                     [this] { return janitor_->trimmed(); });
  metrics.AddCounter("klatch_retention_trims_total",
                     "How often the past of a group was cut to what it keeps.", {},
                     [this] { return keeper_->trims(); });
  metrics.AddCounter(
      "klatch_retention_deleted_bodies_total",
      "Bodies of updates that were deleted because their group keeps them no longer.", {},
      [this] { return keeper_->bodies_deleted(); });
  metrics.AddGauge("klatch_log_bytes", "What the logs of all shards take in Redis, estimated.", {},
                   [this] { return static_cast<double>(janitor_->bytes()); });
  metrics.AddCounter("klatch_deliveries_total", "Entries appended to timelines in memory.", {},
                     sum([](const Slice& slice) { return slice.worker.delivered(); }));
  metrics.AddCounter("klatch_dropped_entries_total",
                     "Entries dropped under pressure; their timelines are rebuilt.", {},
                     sum([](const Slice& slice) { return slice.worker.dropped(); }));
  metrics.AddCounter("klatch_flushed_entries_total", "Entries written to Redis.", {},
                     sum([](const Slice& slice) { return slice.flusher->flushed(); }));
  metrics.AddCounter("klatch_flush_failures_total", "Rounds of flushing that failed.", {},
                     sum([](const Slice& slice) { return slice.flusher->commands_failed(); }));
  metrics.AddCounter("klatch_rebuilt_timelines_total", "Timelines rebuilt from feeds.", {},
                     sum([](const Slice& slice) { return slice.flusher->rebuilt(); }));
  metrics.AddGauge("klatch_holes", "Home timelines that lack copies and are being rebuilt.", {},
                   [this] { return static_cast<double>(node_view_.Holes()); });
  metrics.AddGauge("klatch_unflushed_entries", "Entries in memory that Redis doesn't have yet.", {},
                   [this] { return static_cast<double>(UnflushedEntries()); });
  metrics.AddGauge("klatch_unflushed_memberships",
                   "Changes of memberships that the stored views don't have yet.", {},
                   [this] { return static_cast<double>(UnflushedMemberships()); });
  metrics.AddGauge("klatch_checkpoint_lag_seconds",
                   "Age of the newest state that is written whole.", {},
                   [this] { return CheckpointLagSeconds(); });
  metrics.AddGauge("klatch_flushed_entry_age_seconds",
                   "How old the oldest entry was, of the last pass that wrote any.", {},
                   [this] { return FlushedEntryAgeSeconds(); });
  metrics.AddGauge("klatch_append_queue_seconds", "Age of the oldest unanswered append.", {},
                   [this] { return std::chrono::duration<double>(appender_.OldestAge()).count(); });
  metrics.AddCounter("klatch_updates_appended_total",
                     "Updates written, by transactions or by scripts.", {{"by", "transaction"}},
                     [this] { return appender_.posts().by_transaction(); });
  metrics.AddCounter("klatch_updates_appended_total",
                     "Updates written, by transactions or by scripts.", {{"by", "script"}},
                     [this] { return appender_.posts().by_script(); });
  metrics.AddCounter("klatch_stopped_transactions_total",
                     "Transactions of updates that wrote nothing, since somebody else had appended "
                     "to one of their logs; scripts wrote them.",
                     {}, [this] { return appender_.posts().stopped(); });
  metrics.AddCounter("klatch_copy_waits_total", "Writes that waited for copies in replicas.", {},
                     [this] { return acks_.waits(); });
  metrics.AddCounter("klatch_copy_waits_unknown_total",
                     "Those whose copies were not known of in time.", {},
                     [this] { return acks_.unknown(); });
  metrics.AddCounter("klatch_posts_rate_limited_total",
                     "Posts that were refused because their actor posts too often.", {},
                     [this] { return rates_.refused(); });
  metrics.AddGauge("klatch_calls_under_way", "Calls that have come in and not been answered.", {},
                   [this] { return static_cast<double>(gate_.under_way()); });
  metrics.AddGauge("klatch_watches", "Streams that watch.", {},
                   [this] { return static_cast<double>(live_->streams()); });
  metrics.AddGauge("klatch_watched_persons", "Persons who are watched.", {},
                   [this] { return static_cast<double>(live_->persons()); });
  metrics.AddCounter("klatch_watches_stalled_total",
                     "Streams that were ended because their client took no message.", {},
                     [this] { return live_->stalled(); });
  metrics.AddCounter("klatch_watch_events_total", "Events sent to watches.", {},
                     [this] { return live_->events_sent(); });
  metrics.AddCounter("klatch_watch_messages_total", "Messages that carried them, and heartbeats.",
                     {}, [this] { return live_->messages_sent(); });
  for (int reason = v1::GapReason_MIN + 1; reason <= v1::GapReason_MAX; ++reason) {
    const auto gap = static_cast<v1::GapReason>(reason);
    metrics.AddCounter("klatch_watch_gaps_total", "Gaps sent to watches, by reason.",
                       {{"reason", GapName(gap)}}, [this, gap] { return live_->gaps_sent(gap); });
  }
  metrics.AddGauge("klatch_groups", "Groups that this node has seen.", {},
                   [this] { return static_cast<double>(groups_.size()); });
  metrics.AddGauge("klatch_quiet_persons", "Persons who get no copies, since they don't read.", {},
                   [quiet = sum([](const Slice& slice) { return slice.worker.quiet(); })] {
                     return static_cast<double>(quiet());
                   });
  metrics.AddGauge("klatch_pulled_groups", "Groups whose updates are read from their feeds.", {},
                   [this] { return static_cast<double>(groups_.pulled()); });
  metrics.AddCounter("klatch_pulled_reads_total", "Home timelines that feeds were asked for.", {},
                     [this] { return reads_->pulled_reads() + live_->pulled_reads(); });
  metrics.AddGauge("klatch_personal_persons",
                   "Persons who have, or had, blocks, mutes or hidden updates.", {},
                   [this] { return static_cast<double>(personal_.size()); });
  metrics.AddCounter("klatch_undecodable_bodies_total",
                     "Stored updates that pages passed over because they can't be decoded.", {},
                     [this] { return reads_->undecodable_bodies(); });
  metrics.AddCounter("klatch_swept_posts_total",
                     "Posts to several groups, and removals from some of them, that were finished "
                     "for callers who did not.",
                     {}, [this] { return sweeper_->finished(); });
  metrics.AddGauge("klatch_body_cache_bytes", "Bodies of updates held in memory.", {},
                   [this] { return static_cast<double>(bodies_.bytes()); });
}

}  // namespace klatch
