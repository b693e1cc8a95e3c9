#pragma once
// What arrived at a home timeline while nobody watched it: the ids between two places.
//
// Thread safety: any thread; a task continues on the executor.
// Lifetime: what it refers to outlives it, and it outlives its tasks.
// Bound: limits::kTimelineCap ids; what was there beyond is a gap.

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "common/base/executor.h"
#include "common/base/task.h"
#include "common/redis/pipeline.h"
#include "klatch/v1/feed_service.pb.h"
#include "services/model/watch_tokens.h"
#include "services/persons/people.h"
#include "services/read/home_source.h"

namespace klatch {

struct ResumeFound {
  std::vector<UpdateId> ids;  // oldest first
  // Something may be missing.
  std::optional<v1::GapReason> gap;
};

using Positions = std::vector<Position>;

// Whether everything up to `floor` is applied.
bool Covers(const Positions& applied, std::span<const Position> floor);
// The same, and what was shown already, so that it does not come again.
bool Covers(const Positions& applied, const WatchPlace& place);

// The ids of `timeline` that lie above the floor, were not shown, and lie at or below `until`;
// oldest first. REQUIRES: ids of shards that exist.
std::vector<UpdateId> MissedIds(std::span<const UpdateId> timeline, const WatchPlace& from,
                                const Positions& until);

// Whether ids below `oldest`, which are not among those at hand, may have been missed too.
bool MayLackBelow(UpdateId oldest, const WatchPlace& from, const Positions& until);

class ResumeReader {
 public:
  ResumeReader(const Layout& layout, People& people, const GroupDirectory& groups,
               redis::Pipeline& redis, Bodies& stored, base::Executor& executor,
               const base::Clock& clock)
      : people_(people),
        homes_(layout, people, groups, redis, stored, clock),
        executor_(executor) {}

  // What the workers of this node had applied at `until` is in the timeline.
  base::Task<ResumeFound> Read(PersonId person, std::shared_ptr<const WatchPlace> from,
                               std::shared_ptr<const Positions> until);

  // Timelines that feeds were asked for. A counter; any thread.
  uint64_t pulled_reads() const { return homes_.pulled_reads(); }

 private:
  People& people_;
  HomeSources homes_;
  base::Executor& executor_;
};

}  // namespace klatch
