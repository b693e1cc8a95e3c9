#include "services/live/resume_reader.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace klatch {
namespace {

UpdateId OldestOf(const TimelineIds& timeline) {
  return timeline.ids.empty() ? UpdateId(std::numeric_limits<uint64_t>::max())
                              : timeline.ids.back();
}

}  // namespace

bool Covers(const Positions& applied, std::span<const Position> floor) {
  return std::ranges::equal(applied, floor,
                            [](Position has, Position asked) { return has >= asked; });
}

bool Covers(const Positions& applied, const WatchPlace& place) {
  return Covers(applied, place.floor) && std::ranges::all_of(place.shown, [&](UpdateId id) {
           return applied[id.shard().value()] >= id;
         });
}

std::vector<UpdateId> MissedIds(std::span<const UpdateId> timeline, const WatchPlace& from,
                                const Positions& until) {
  std::vector<UpdateId> missed;
  for (const UpdateId id : timeline) {
    const uint32_t shard = id.shard().value();
    if (id > from.floor[shard] && id <= until[shard] &&
        std::ranges::find(from.shown, id) == from.shown.end()) {
      missed.push_back(id);
    }
  }
  std::ranges::sort(missed);
  return missed;
}

bool MayLackBelow(UpdateId oldest, const WatchPlace& from, const Positions& until) {
  for (size_t shard = 0; shard < until.size(); ++shard) {
    // Ids sort by time, whatever their shard.
    if (from.floor[shard] < until[shard] && from.floor[shard] < oldest) {
      return true;
    }
  }
  return false;
}

base::Task<ResumeFound> ResumeReader::Read(PersonId id, std::shared_ptr<const WatchPlace> from,
                                           std::shared_ptr<const Positions> until) {
  co_await executor_.Schedule();
  ResumeFound found;
  const Person* person = people_.Find(id);
  if (person == nullptr) {
    co_return found;
  }
  // Looked at before and after: a rebuild may end between the copy and the second look.
  bool has_hole = person->hole_since.load(std::memory_order_relaxed) != 0;
  const std::unique_ptr<TimelineSource> source = homes_.Open(id, *until);
  Candidates candidates = source->InMemory();
  if (candidates.older_stored && MayLackBelow(OldestOf(candidates.timeline), *from, *until)) {
    base::Task<absl::StatusOr<Candidates>> asking = source->All();
    absl::StatusOr<Candidates> all = co_await std::move(asking);
    co_await executor_.Schedule();
    if (all.ok()) {
      candidates = *std::move(all);
    } else {
      found.gap = v1::GAP_REASON_UNREADABLE;
    }
  }
  if (candidates.timeline.is_cut && MayLackBelow(OldestOf(candidates.timeline), *from, *until)) {
    found.gap = v1::GAP_REASON_TRIMMED;
  }
  has_hole |= person->hole_since.load(std::memory_order_relaxed) != 0;
  if (has_hole) {
    found.gap = v1::GAP_REASON_HOLE;
  }
  found.ids = MissedIds(candidates.timeline.ids, *from, *until);
  co_return found;
}

}  // namespace klatch
