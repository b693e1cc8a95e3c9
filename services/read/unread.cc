// The part of FeedReads that looks at timelines for read markers.
#include <algorithm>
#include <limits>
#include <utility>

#include "services/read/feed_reads.h"

namespace klatch {
namespace {

constexpr size_t kExaminedPerStep = 100;

PageScope ScopeOf(PersonId viewer, const GroupId& group) {
  return group.empty() ? PageScope{PageKind::kHome, std::move(viewer), ""}
                       : PageScope{PageKind::kGroup, std::move(viewer), group.value()};
}

}  // namespace

base::Task<absl::StatusOr<Candidates>> FeedReads::ReadDownTo(TimelineSource& source,
                                                             UpdateId above) {
  Candidates candidates = source.InMemory();
  const std::vector<UpdateId>& ids = candidates.timeline.ids;
  if (!candidates.older_stored || (!ids.empty() && ids.back() <= above)) {
    co_return candidates;
  }
  base::Task<absl::StatusOr<Candidates>> asking = source.All();
  absl::StatusOr<Candidates> all = co_await std::move(asking);
  co_await d_.executor.Schedule();
  if (!all.ok()) {
    co_return base::Annotate(all.status(), "read the stored timeline");
  }
  co_return all;
}

base::Task<absl::StatusOr<Unread>> FeedReads::CountUnread(PersonId viewer_id, GroupId group,
                                                          UpdateId above, size_t examined_max) {
  const PageScope scope = ScopeOf(std::move(viewer_id), group);
  const AppliedPrefix applied = PrefixOf(scope);
  const Viewer viewer = ViewerOf(scope, applied);
  absl::Status may_answer = MayAnswer(scope, viewer);
  if (!may_answer.ok()) {
    co_return may_answer;
  }
  Unread unread;
  const std::unique_ptr<TimelineSource> source = Open(scope, applied);
  auto reading = ReadDownTo(*source, above);
  absl::StatusOr<Candidates> candidates = co_await std::move(reading);
  if (!candidates.ok()) {
    co_return candidates.status();
  }
  std::vector<UpdateId>& ids = candidates->timeline.ids;
  const auto read = std::ranges::partition_point(ids, [above](UpdateId id) { return id > above; });
  unread.is_at_least = HoleOf(scope, viewer) != 0 ||
                       (candidates->timeline.is_cut && read == ids.end()) ||
                       read - ids.begin() > static_cast<std::ptrdiff_t>(examined_max);
  ids.resize(std::min(static_cast<size_t>(read - ids.begin()), examined_max));
  auto counting = CountOthersVisible(std::move(ids), viewer);
  const absl::StatusOr<uint32_t> count = co_await std::move(counting);
  if (!count.ok()) {
    co_return count.status();
  }
  unread.count = *count;
  may_answer = MayAnswer(scope, viewer);
  if (!may_answer.ok()) {
    co_return may_answer;
  }
  co_return unread;
}

base::Task<absl::StatusOr<uint32_t>> FeedReads::CountOthersVisible(std::vector<UpdateId> ids,
                                                                   const Viewer& viewer) {
  uint32_t count = 0;
  for (size_t first = 0; first < ids.size(); first += kExaminedPerStep) {
    const size_t last = std::min(first + kExaminedPerStep, ids.size());
    const std::vector<UpdateId> batch(ids.begin() + static_cast<std::ptrdiff_t>(first),
                                      ids.begin() + static_cast<std::ptrdiff_t>(last));
    base::Task<absl::StatusOr<Hydrator::Found>> finding = hydrator_.Find(batch);
    absl::StatusOr<Hydrator::Found> bodies = co_await std::move(finding);
    if (!bodies.ok()) {
      co_return base::Annotate(bodies.status(), "read updates");
    }
    std::vector<PageEntry> entries;
    for (size_t i = 0; i < batch.size(); ++i) {
      entries.push_back(PageEntry{batch[i], std::move((*bodies)[i])});
    }
    viewer.RetainVisible(entries);
    count +=
        static_cast<uint32_t>(std::ranges::count_if(entries, [&viewer](const PageEntry& entry) {
          return entry.body->header().author != viewer.id();
        }));
  }
  co_return count;
}

base::Task<absl::StatusOr<UpdateId>> FeedReads::PlaceMarker(PersonId viewer_id, GroupId group,
                                                            std::optional<UpdateId> update) {
  const PageScope scope = ScopeOf(std::move(viewer_id), group);
  const AppliedPrefix applied = PrefixOf(scope);
  const Viewer viewer = ViewerOf(scope, applied);
  absl::Status may_answer = MayAnswer(scope, viewer);
  if (!may_answer.ok()) {
    base::Task<absl::Status> refusing = RefusalOf(scope, std::move(may_answer));
    co_return co_await std::move(refusing);
  }
  if (update && applied.Covers(*update)) {
    co_return *update;
  }
  if (update) {
    co_return base::FieldError(absl::StatusCode::kInvalidArgument, "update_id",
                               "is later than what has been applied here; pass its tokens");
  }
  const std::unique_ptr<TimelineSource> source = Open(scope, applied);
  // Whatever is in memory is newer than what is only stored.
  auto reading = ReadDownTo(*source, UpdateId(std::numeric_limits<uint64_t>::max()));
  const absl::StatusOr<Candidates> candidates = co_await std::move(reading);
  if (!candidates.ok()) {
    co_return candidates.status();
  }
  const std::vector<UpdateId>& ids = candidates->timeline.ids;
  co_return ids.empty() ? UpdateId() : ids.front();
}

}  // namespace klatch
