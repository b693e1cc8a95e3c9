#pragma once
// Where the ids of a home timeline come from: copies in memory and in Redis, and the feeds of those
// of the person's groups whose updates were not all copied, now or lately; of all of them if the
// person has been quiet. To open it is to read: it is what keeps a person from falling quiet, and
// what wakes them.
//
//   Progress ──▶ marks of the person and their groups ──▶ ring in memory ──▶ stored ring, feeds
//
// In this order, whoever reads: a worker leaves out copies only of groups and to persons that were
// marked before (persons/group_directory.h, persons/person.h), so what was applied by the positions
// that were noted first is in a ring, or in a feed that is asked for (feed_merge.h).
//
// Thread safety: Open from any thread; a source is one call's.
// Lifetime: what HomeSources refers to outlives it and its sources.
// Bound: limits::kPulledFeedsMax feeds, limits::kPulledFeedsPerRead at once; with more the timeline
// counts as cut.

#include <atomic>
#include <memory>
#include <vector>

#include "common/base/clock.h"
#include "common/redis/pipeline.h"
#include "services/log/bodies.h"
#include "services/model/keys.h"
#include "services/persons/group_directory.h"
#include "services/persons/people.h"
#include "services/read/feed_merge.h"
#include "services/read/timeline_source.h"

namespace klatch {

class HomeSource final : public TimelineSource {
 public:
  // `applied`, by shard, was noted before `feeds` were.
  HomeSource(std::unique_ptr<TimelineSource> copies, std::vector<PulledFeed> feeds, bool has_more,
             Bodies& stored, std::vector<Position> applied);

  // Nothing: feeds are not in memory.
  Candidates InMemory() override;
  base::Task<absl::StatusOr<Candidates>> All() override;

 private:
  base::Task<absl::StatusOr<Candidates>> Copies();

  const std::unique_ptr<TimelineSource> copies_;
  const std::vector<PulledFeed> feeds_;
  const bool has_more_;  // feeds beyond the bound
  Bodies& stored_;
  const std::vector<Position> applied_;
  Candidates in_memory_;
};

class HomeSources {
 public:
  HomeSources(const Layout& layout, People& people, const GroupDirectory& groups,
              redis::Pipeline& redis, Bodies& stored, const base::Clock& clock)
      : keys_(layout),
        people_(people),
        groups_(groups),
        redis_(redis),
        stored_(stored),
        clock_(clock) {}

  // Of a person that may not be known. REQUIRES: `applied` are the positions of the person's worker
  // or lower ones.
  std::unique_ptr<TimelineSource> Open(const PersonId& id, const std::vector<Position>& applied);

  // Timelines that were opened with feeds to be asked. A counter.
  uint64_t pulled_reads() const { return pulled_reads_.load(std::memory_order_relaxed); }

 private:
  // Notes that the person reads; whether copies of theirs may be missing.
  bool IsQuiet(const Person& person);
  // Those to be asked for the person, of all groups or those that are marked; at most one more than the bound.
  std::vector<PulledFeed> FeedsOf(const Person& person, bool of_all) const;

  const Keys keys_;
  People& people_;
  const GroupDirectory& groups_;
  redis::Pipeline& redis_;
  Bodies& stored_;
  const base::Clock& clock_;
  std::atomic<uint64_t> pulled_reads_{0};  // publishes nothing
};

}  // namespace klatch
