#pragma once
// What the feeds of groups hold for one of their members, put to the copies that they have. All ids are
// candidates only: may_see decides.
//
// Thread safety: functions without state; a FeedMerge is one call's.
// Bound: limits::kTimelineCap ids, and in addition those that came to a feed about the time when the
// person joined its group and may be for them.

#include <utility>
#include <vector>

#include "services/model/ids.h"
#include "services/model/keys.h"
#include "services/model/position.h"
#include "services/read/timeline_source.h"

namespace klatch {

// A group whose feed is to be asked, and since when the person is in it.
struct PulledFeed {
  GroupId group;
  ShardIndex shard;
  Position joined;
};

// What a feed holds for one member.
struct DueIds {
  std::vector<UpdateId> due;
  // Of posts to several groups, whose positions in the group the ids don't tell.
  std::vector<UpdateId> perhaps;
  // The feed is full of what is due: older ids may have been there.
  bool is_cut = false;
};

// Sorts out the ids of a feed. Of the group's shard those beyond `applied` are left out, since a leave
// may stand before them.
DueIds DueOf(const std::vector<UpdateId>& feed, const PulledFeed& of, Position applied);

// Feed by feed, in any order; the cap counts over all of them.
class FeedMerge {
 public:
  explicit FeedMerge(Candidates copies) : merged_(std::move(copies)) {}

  void Add(const DueIds& fed);
  // Everything, newest first. Ends the merge.
  Candidates Take();

 private:
  void Sort();

  Candidates merged_;
  std::vector<UpdateId> due_;
  // Kept apart until the end: they must not push out what is certainly due.
  std::vector<UpdateId> perhaps_;
};

}  // namespace klatch
