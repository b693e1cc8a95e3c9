#pragma once
// Feeds of groups and bodies of updates, read from Redis for pages and rebuilds. Of a post to several
// groups that is not decided everywhere yet, the groups are asked too: what they have decided stands
// in the body that is returned, which is provisional then.
//
// Thread safety: any thread; tasks continue on the pipeline's thread.
// Lifetime: `pipeline` and this outlive every task.
// Errors: those of the pipeline and of Redis; DATA_LOSS for what can't be decoded.

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "common/base/status.h"
#include "common/base/task.h"
#include "common/obs/log.h"
#include "common/redis/pipeline.h"
#include "services/model/body.h"
#include "services/model/keys.h"
#include "services/model/layout.h"

namespace klatch {

class Bodies {
 public:
  Bodies(redis::Pipeline& pipeline, const Layout& layout);

  // The ids of the group's newest updates, at most limits::kStoredSlotsMax, in no order; deleted
  // and expired ones among them. Empty if there is no such group.
  base::Task<absl::StatusOr<std::vector<UpdateId>>> ReadFeed(GroupId group);

  // The same of several groups, in their order, in one step.
  base::Task<absl::StatusOr<std::vector<std::vector<UpdateId>>>> ReadFeeds(
      std::vector<GroupId> groups);

  // Null if it is gone. FAILED_PRECONDITION or DATA_LOSS, naming the key, if something else stands
  // in its place.
  base::Task<absl::StatusOr<std::shared_ptr<const Body>>> ReadBody(UpdateId id);

  // One per id, in the order of the ids; null if it is gone, or is nothing that can be decoded,
  // which is counted and logged. One command per shard: ask for a page, not for a timeline.
  // `kept_no_longer`, unless null, outlives the task and gets the ids of which nothing is stored:
  // of what was deleted an empty body is.
  base::Task<absl::StatusOr<std::vector<std::shared_ptr<const Body>>>> ReadBodies(
      std::vector<UpdateId> ids, std::vector<UpdateId>* kept_no_longer = nullptr);

  // How often something was found that can't be decoded. A counter.
  uint64_t undecodable() const { return undecodable_.load(std::memory_order_relaxed); }

 private:
  using Found = std::vector<std::shared_ptr<const Body>>;

  // Replaces those of `bodies` that are not decided by what their groups have decided by now; they
  // are those of `ids`. One command per shard.
  base::Task<absl::Status> Decide(const std::vector<UpdateId>& ids, Found& bodies);
  void NoteUndecodable(UpdateId id);

  redis::Pipeline& pipeline_;
  const Layout layout_;
  const Keys keys_;
  obs::LogLimiter error_lines_;
  std::atomic<uint64_t> undecodable_{0};
};

}  // namespace klatch
