#include "services/read/timeline_source.h"

#include <utility>

#include "common/redis/connection.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

// More than the largest ring in memory holds, so that nothing is cut off.
constexpr size_t kCopiedEntriesMax = 4'096;

}  // namespace

RingSource::RingSource(const lockfree::TimelineRing& ring, const lockfree::RingArena& arena,
                       redis::Pipeline& redis, std::string key)
    : ring_(ring), arena_(arena), redis_(redis), key_(std::move(key)) {}

Candidates RingSource::InMemory() {
  std::vector<lockfree::TimelineEntry> entries;
  uint64_t floor = 0;
  copied_.clear();
  if (!ring_.CopyNewest(arena_, entries, kCopiedEntriesMax, &floor)) {
    // Lapped: the writer was faster. All that was appended before is stored by now (invariant 7 of
    // timeline_ring.h), so all is found there.
    return Candidates{.timeline = {}, .older_stored = true};
  }
  for (const lockfree::TimelineEntry& entry : entries) {
    copied_.emplace_back(entry.id);
  }
  std::vector<UpdateId> above_floor;
  for (UpdateId id : copied_) {
    if (id.value() > floor) {
      above_floor.push_back(id);
    }
  }
  Candidates candidates{.timeline = MergeIds(above_floor, {}, limits::kTimelineCap)};
  // What is stored beyond a full cap's worth of newer ids is not shown.
  candidates.older_stored = floor != 0 && !candidates.timeline.is_cut;
  return candidates;
}

base::Task<absl::StatusOr<Candidates>> RingSource::All() {
  redis::Command get{"GET", key_};
  redis::Pipeline::CallAwaiter call = redis_.Call(std::move(get));
  absl::StatusOr<redis::Reply> reply = co_await call;
  if (!reply.ok()) {
    co_return reply.status();
  }
  const absl::Status answered = redis::ToStatus(reply->view());
  if (!answered.ok()) {
    co_return answered;
  }
  const std::vector<UpdateId> stored = DecodeStoredRing(reply->text());
  Candidates candidates{.timeline = MergeIds(copied_, stored, limits::kTimelineCap)};
  // Who rewrites a stored ring keeps a cap's worth: one that holds as much may have held more.
  candidates.timeline.is_cut |= stored.size() >= limits::kTimelineCap;
  co_return candidates;
}

FeedSource::FeedSource(Bodies& stored, GroupId group) : stored_(stored), group_(std::move(group)) {}

Candidates FeedSource::InMemory() { return Candidates{.timeline = {}, .older_stored = true}; }

base::Task<absl::StatusOr<Candidates>> FeedSource::All() {
  base::Task<absl::StatusOr<std::vector<UpdateId>>> reading = stored_.ReadFeed(group_);
  absl::StatusOr<std::vector<UpdateId>> ids = co_await std::move(reading);
  if (!ids.ok()) {
    co_return ids.status();
  }
  co_return Candidates{.timeline = MergeIds(*ids, {}, limits::kTimelineCap)};
}

AppliedSource::AppliedSource(std::unique_ptr<TimelineSource> source, const AppliedPrefix& applied,
                             std::optional<ShardIndex> shard)
    : source_(std::move(source)), applied_(applied), shard_(shard) {}

Candidates AppliedSource::InMemory() { return Cut(source_->InMemory()); }

base::Task<absl::StatusOr<Candidates>> AppliedSource::All() {
  base::Task<absl::StatusOr<Candidates>> reading = source_->All();
  absl::StatusOr<Candidates> all = co_await std::move(reading);
  if (!all.ok()) {
    co_return all.status();
  }
  co_return Cut(*std::move(all));
}

Candidates AppliedSource::Cut(Candidates candidates) const {
  std::erase_if(candidates.timeline.ids, [this](UpdateId id) {
    return (!shard_ || id.shard() == *shard_) && !applied_.Covers(id);
  });
  return candidates;
}

}  // namespace klatch
