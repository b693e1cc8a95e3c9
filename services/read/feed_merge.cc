#include "services/read/feed_merge.h"

#include <algorithm>
#include <utility>

#include "services/model/limits.h"
#include "services/model/past.h"

namespace klatch {
namespace {

// Ids of feeds that are sorted at once: one by one most of the time would go into sorting the copies again.
constexpr size_t kUnsortedMax = 16 * limits::kTimelineCap;

}  // namespace

DueIds DueOf(const std::vector<UpdateId>& feed, const PulledFeed& of, Position applied) {
  DueIds sorted;
  size_t later = 0;
  for (const UpdateId id : feed) {
    const bool is_of_shard = id.shard() == of.shard;
    if (is_of_shard && id > applied) {
      ++later;
    } else if (is_of_shard ? id >= of.joined : id.ms() > of.joined.ms()) {
      sorted.due.push_back(id);
    } else if (id.ms() + kCarriedLaterMsMax >= of.joined.ms()) {
      // A carry may stand behind the joining though its id stands before.
      sorted.perhaps.push_back(id);
    }
  }
  sorted.is_cut = sorted.due.size() + later >= limits::kStoredSlotsMax;
  return sorted;
}

void FeedMerge::Add(const DueIds& fed) {
  due_.insert(due_.end(), fed.due.begin(), fed.due.end());
  perhaps_.insert(perhaps_.end(), fed.perhaps.begin(), fed.perhaps.end());
  merged_.timeline.is_cut |= fed.is_cut;
  if (due_.size() + perhaps_.size() > kUnsortedMax) {
    Sort();
  }
}

void FeedMerge::Sort() {
  TimelineIds& timeline = merged_.timeline;
  TimelineIds sorted = MergeIds(timeline.ids, due_, limits::kTimelineCap);
  timeline.ids = std::move(sorted.ids);
  timeline.is_cut |= sorted.is_cut;
  due_.clear();
  if (timeline.ids.size() == limits::kTimelineCap) {
    std::erase_if(perhaps_, [oldest = timeline.ids.back()](UpdateId id) { return id <= oldest; });
  }
}

Candidates FeedMerge::Take() {
  Sort();
  std::vector<UpdateId>& ids = merged_.timeline.ids;
  ids = MergeIds(ids, perhaps_, ids.size() + perhaps_.size()).ids;
  return std::move(merged_);
}

}  // namespace klatch
