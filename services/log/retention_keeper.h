#pragma once
// Lets the past of groups go beyond what they, or the namespace, keep: for each group that has a
// bound it decides now and then from which position on the past is kept (retention_plan.h), has that
// appended to the group's log, which is what readers go by, and deletes the bodies of what is gone.
//
//   kept:     {group → position}  of groups that have, or had, a bound of their own    ─▶ scanned
//   groups:   all groups of a shard, if the namespace bounds every group by count or bytes ─▶ instead
//
// Bodies of posts to several groups stay: another group may keep them longer. A pass that dies between
// the record and the deletions is made up for by the first look after the next start. A body that its
// feed has no room for any more stays until the namespace's retention; nobody sees it.
//
// Thread safety: Start and Stop by the owner; counters from any thread; KeepAll and groups_remembered by
// one thread at a time.
// Bounds: per pass one step of a scan per shard (limits::kKeeperScan) and limits::kKeeperGroupsPerPass
// groups in which something has changed; others wait for the next passes, which take them before they
// scan on. In memory some 100 bytes for each group with a bound, until the second scan after its
// deletion.
// Errors: those of Redis end a pass, which is tried again at the next; what is wrong with one group's
// keys is logged, and leaves the others alone.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/clock.h"
#include "common/base/periodic_thread.h"
#include "common/base/status.h"
#include "common/obs/log.h"
#include "common/redis/connection.h"
#include "services/log/retention_plan.h"
#include "services/model/keys.h"
#include "services/model/layout.h"
#include "services/model/limits.h"

namespace klatch {

class RetentionKeeper {
 public:
  struct Options {
    // Of every group; count and bytes only, since bodies older than the namespace keeps go by
    // themselves.
    GroupRetention of_namespace = {};
    std::chrono::milliseconds pause = limits::kKeeperPause;
  };

  RetentionKeeper(const Layout& layout, const Options& options,
                  std::unique_ptr<redis::Connection> redis, const base::Clock& clock);

  void Start() { thread_.Start(); }
  void Stop() { thread_.Stop(); }

  // One pass.
  absl::Status KeepAll();

  // How many groups' feeds are known as they were when they were looked at last.
  size_t groups_remembered() const;

  // Counters.
  uint64_t bodies_deleted() const { return bodies_deleted_.load(std::memory_order_relaxed); }
  uint64_t trims() const { return trims_.load(std::memory_order_relaxed); }

 private:
  // A group as it was when its feed was looked at last.
  struct Seen {
    GroupRetention bounds;
    uint64_t feed_count = 0;
    // How many of the feed's updates, counted from the first ever, are gone with their bodies.
    uint64_t gone = 0;
    // When the oldest one that is kept was posted; 0 if there is none.
    int64_t oldest_unix_ms = 0;
    // Since the scan of its shard last began anew.
    bool found = false;
  };
  struct Shard {
    std::string cursor = "0";
    std::unordered_map<std::string, Seen> seen;  // by group
  };
  struct Facts {
    GroupId group;
    ShardIndex shard;
    GroupRetention bounds;
    uint64_t feed_count = 0;
    Position kept_since;
  };
  // A part of a feed: the first one's number and the updates, oldest first.
  struct FeedEnd {
    uint64_t first = 0;
    std::vector<FeedItem> items;
    // By item: a body that belongs to this group alone.
    std::vector<bool> has_own_body;
  };

  // A pass, on a new connection if need be; says what went wrong.
  void DoWork();
  bool scans_all_groups() const { return options_.of_namespace.is_bounded(); }
  // The next groups of each shard.
  absl::StatusOr<std::vector<GroupId>> Scan();
  void TakeScanned(redis::ReplyView reply, Shard& shard, std::vector<GroupId>& groups);
  // Of those of `groups` that are there and have a bound.
  absl::StatusOr<std::vector<Facts>> ReadFacts(const std::vector<GroupId>& groups);
  std::optional<Facts> DecodeFacts(const GroupId& group, redis::ReplyView hash,
                                   redis::ReplyView kept);
  bool IsDue(const Facts& facts, int64_t now_unix_ms) const;
  absl::Status Keep(const Facts& facts, int64_t now_unix_ms);
  // What is not known to be gone.
  absl::StatusOr<FeedEnd> ReadFeedEnd(const Facts& facts);
  absl::Status LookAtBodies(const Facts& facts, FeedEnd& end);
  absl::Status FindCarries(const Facts& facts, FeedEnd& end, const std::vector<size_t>& several);
  absl::Status Append(const Facts& facts, Position kept_since);
  absl::Status DeleteBodies(const FeedEnd& end, size_t count);
  void Warn(const absl::Status& status, const std::string& group);

  const Layout layout_;
  const Keys keys_;
  const Options options_;
  const std::unique_ptr<redis::Connection> redis_;
  const base::Clock& clock_;
  obs::LogLimiter error_lines_{1};

  // The passes' own.
  std::vector<Shard> shards_;
  // Of the last scan: those that are not looked at yet. At most what one scan finds.
  std::vector<GroupId> waiting_;

  // Publish nothing.
  std::atomic<uint64_t> bodies_deleted_{0};
  std::atomic<uint64_t> trims_{0};

  base::PeriodicThread thread_;
};

}  // namespace klatch
