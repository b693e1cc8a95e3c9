#pragma once
// The oracle: what every person must see, worked out from positions alone. A copy of an update is
// due to whoever was a member at posting (joined < id < left). It may be seen by whoever is a
// member now, if their stay began before it, or, of an update for "members now", if that stay sees
// the past; unless it was deleted.
//
// Use: Add histories, Finish once, then ask. Thread safety: any thread after Finish.
//
// Of an update of several groups all of that holds through each that took it, with the position of
// its carry there; who sees it through one of them sees it.
//
// Bound: about 60 bytes per membership, 80 per post and 16 per group that took it.

#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "bench/load/oracle/history.h"

namespace klatch::load {

enum class Access : uint8_t {
  kNone,       // was no member at posting, and must not see it
  kPast,       // was one, and must see it no more: copies may lie about, pages must not show it
  kVisible,    // must be shown
  kUncertain,  // may be shown or not: a call about the membership or the update is undecided
};

constexpr bool MustNotSee(Access access) {
  return access == Access::kNone || access == Access::kPast;
}

struct DueUpdate {
  uint64_t id = 0;
  Access access = Access::kNone;
};

class Model {
 public:
  explicit Model(const Graph& graph) : graph_(graph) {}

  void Add(const History& history);
  // `by_shard`: the position in each shard's log up to which everything is from before the first
  // post of this run; 0 where this run writes nothing.
  void SetFloors(std::vector<uint64_t> by_shard) { floors_ = std::move(by_shard); }
  void Finish();

  // Whether an update with this id can only be from before this run, or of somebody else.
  bool IsForeign(uint64_t id) const;
  std::span<const PostRecord> posts() const { return posts_; }  // by id
  // Ids that more than one post was answered with; `posts` has one of those posts.
  std::span<const uint64_t> repeated_ids() const { return repeated_ids_; }
  std::span<const uint64_t> unknown_posts() const { return unknown_posts_; }
  // Null if no call was answered with this id.
  const PostRecord* Find(uint64_t id) const;

  // Pairs of a post and a member at posting, authors included.
  uint64_t CountDeliveries() const;

  Access AccessTo(PersonNumber viewer, const PostRecord& post) const;
  // The same through one of its groups.
  Access AccessThrough(PersonNumber viewer, const PostRecord& post, const Place& place) const;
  // Whether it was delivered to the viewer, and nothing that they did since took it away: it was
  // posted in the stay that still lasts. Its own fate does not matter.
  bool HasFromPosting(PersonNumber viewer, const PostRecord& post) const;
  // Whether its reader wanted nothing of the kind when it was posted, nor at this moment.
  bool IsUnwanted(PersonNumber viewer, uint64_t id,
                  std::chrono::steady_clock::time_point moment) const {
    const auto found = unwanted_.find({viewer, id});
    return found != unwanted_.end() && moment < found->second;
  }
  // Whether the person was a member at this position: kVisible, kNone or kUncertain.
  Access MembershipAt(GroupNumber group, PersonNumber person, uint64_t position) const;
  // Whether a stay of the person in the group has ended, be it for certain or not.
  bool HasLeft(GroupNumber group, PersonNumber person) const;
  bool IsMember(GroupNumber group, PersonNumber person) const;

  struct Departure {
    GroupNumber group = 0;
    PersonNumber person = 0;
  };
  // Each person and group that a stay has ended between, once; also if they came back.
  std::vector<Departure> Departures() const;

  // All of these newest first. What was due to the person at posting, or as a joiner's past.
  std::vector<DueUpdate> HomeOf(PersonNumber person) const;
  // All of the group's posts, as far as the viewer has access.
  std::vector<DueUpdate> GroupSeenBy(PersonNumber viewer, GroupNumber group) const;
  // All of the author's posts, as far as the viewer has access.
  std::vector<DueUpdate> ProfileSeenBy(PersonNumber viewer, PersonNumber author) const;

 private:
  struct Stay {
    GroupNumber group = 0;
    PersonNumber person = 0;
    uint64_t joined = 0;
    uint64_t left = UINT64_MAX;
    // The position from which on it sees updates for "members now".
    uint64_t visible_from = 0;
    bool uncertain = false;

    bool Covers(uint64_t position) const { return joined < position && position < left; }
    // Whether a post at this position was shown in this stay, be it as its past.
    bool Shows(uint64_t position, bool members_now) const {
      return Covers(position) || (members_now && visible_from < position && position < left);
    }
  };

  void BuildStays();
  // The stays of one person, ordered by group, then by time.
  std::span<const Stay> StaysOf(PersonNumber person) const;
  std::span<const Stay> StaysOf(PersonNumber person, GroupNumber group) const;
  // A group's post by its place in posts_.
  struct PostInGroup {
    uint64_t position = 0;
    uint32_t post = 0;
  };
  void SortPostsByGroup();
  // Ascending by position.
  std::span<const PostInGroup> PostsOfGroup(GroupNumber group) const;
  uint64_t CountSeveral() const;

  const Graph& graph_;
  std::vector<uint64_t> floors_;       // by shard; empty: nothing was there before
  std::vector<MembershipTurn> turns_;  // emptied by Finish
  std::vector<uint64_t> unknown_posts_;
  std::map<std::pair<PersonNumber, uint64_t>, std::chrono::steady_clock::time_point> unwanted_;

  // Immutable after Finish.
  std::vector<PostRecord> posts_;  // by id
  std::vector<uint64_t> repeated_ids_;
  std::vector<Stay> stays_;  // by person, group, time
  std::vector<uint32_t> stay_begin_;
  // A group's or author's begin at their entry of *_begin_. The latter are indexes into posts_.
  std::vector<PostInGroup> group_posts_;
  std::vector<uint32_t> group_begin_;
  std::vector<uint32_t> author_posts_;
  std::vector<uint32_t> author_begin_;
};

}  // namespace klatch::load
