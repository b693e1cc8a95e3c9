#pragma once
// Where the ids of one timeline come from: the ring in memory, then what is stored in Redis.
//
// A read asks InMemory first and, only if that does not fill the page, All. The memory is always
// copied before the stored ring is asked for: an entry leaves memory only after it was stored, so
// an entry that the copy no longer had is found in the answer that was asked for later.
//
// Thread safety: one thread at a time; workers and flushers may write meanwhile.
// Lifetime: one call.
// Bound: limits::kTimelineCap newest ids.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/base/task.h"
#include "common/lockfree/timeline_ring.h"
#include "common/redis/pipeline.h"
#include "services/log/bodies.h"
#include "services/read/applied_prefix.h"
#include "services/read/timeline_ids.h"

namespace klatch {

struct Candidates {
  TimelineIds timeline;
  // Older ids may be stored in Redis.
  bool older_stored = false;
};

class TimelineSource {
 public:
  virtual ~TimelineSource() = default;

  // What memory alone knows completely: every id above the ring's floor.
  virtual Candidates InMemory() = 0;
  // Everything, memory's copy merged with what is stored. Continues on any thread. The error of
  // Redis if it can't be asked. REQUIRES: InMemory was called before.
  virtual base::Task<absl::StatusOr<Candidates>> All() = 0;
};

// A person's home or posts: a ring in memory and the stored ring under `key`.
class RingSource final : public TimelineSource {
 public:
  RingSource(const lockfree::TimelineRing& ring, const lockfree::RingArena& arena,
             redis::Pipeline& redis, std::string key);

  Candidates InMemory() override;
  base::Task<absl::StatusOr<Candidates>> All() override;

 private:
  const lockfree::TimelineRing& ring_;
  const lockfree::RingArena& arena_;
  redis::Pipeline& redis_;
  const std::string key_;
  // Set by InMemory, newest first; may reach below the floor.
  std::vector<UpdateId> copied_;
};

// A group's timeline: only its feed, which the publish script writes.
class FeedSource final : public TimelineSource {
 public:
  FeedSource(Bodies& stored, GroupId group);

  Candidates InMemory() override;
  base::Task<absl::StatusOr<Candidates>> All() override;

 private:
  Bodies& stored_;
  const GroupId group_;
};

// Another source, cut to the updates that this node has applied: for timelines that the viewer's
// own worker did not write, and that may be ahead of the viewer's memberships. With `shard` only ids
// of that shard are cut: in the feed of a group of it, others are of posts to several groups, of
// which the position in the group counts, not the id (Viewer).
class AppliedSource final : public TimelineSource {
 public:
  AppliedSource(std::unique_ptr<TimelineSource> source, const AppliedPrefix& applied,
                std::optional<ShardIndex> shard = std::nullopt);

  Candidates InMemory() override;
  base::Task<absl::StatusOr<Candidates>> All() override;

 private:
  Candidates Cut(Candidates candidates) const;

  const std::unique_ptr<TimelineSource> source_;
  const AppliedPrefix& applied_;
  const std::optional<ShardIndex> shard_;
};

// Nothing: the timeline of a person that nobody knows.
class EmptySource final : public TimelineSource {
 public:
  Candidates InMemory() override { return {}; }
  base::Task<absl::StatusOr<Candidates>> All() override { co_return Candidates(); }
};

}  // namespace klatch
