#pragma once
// The oracle: what every person must see, worked out from positions alone. An update is due to
// whoever was a member at posting (joined < id < left); it may be seen by those of them whose stay
// still goes on. That is the audience "members at posting", which all posts of the load have.
//
// Use: Add histories, Finish once, then ask. Thread safety: any thread after Finish.
// Bound: about 60 bytes per membership, 32 per post.

#include <cstdint>
#include <span>
#include <vector>

#include "bench/load/history.h"

namespace klatch::load {

enum class Access : uint8_t {
  kNone,       // was no member at posting
  kPast,       // was one, and has left since: copies may lie about, pages must not show it
  kVisible,    // must be shown
  kUncertain,  // may be shown or not: a call about the membership is undecided
};

struct DueUpdate {
  uint64_t id = 0;
  Access access = Access::kNone;
};

class Model {
 public:
  explicit Model(const Graph& graph) : graph_(graph), floors_(graph.group_count(), 0) {}

  void Add(const History& history);
  // What stands at or before `position` in the group's shard is from before this run.
  void SetFloor(GroupNumber group, uint64_t position) { floors_[group] = position; }
  void Finish();

  uint64_t FloorOf(GroupNumber group) const { return floors_[group]; }
  std::span<const PostRecord> posts() const { return posts_; }  // by id
  std::span<const uint64_t> unknown_posts() const { return unknown_posts_; }
  // Null if no call was answered with this id.
  const PostRecord* Find(uint64_t id) const;

  // Pairs of a post and a member at posting, authors included.
  uint64_t CountDeliveries() const;

  Access AccessTo(PersonNumber viewer, const PostRecord& post) const;
  bool IsMember(GroupNumber group, PersonNumber person) const;

  // All of these newest first. What was due to the person at posting.
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
    bool uncertain = false;
  };

  void BuildStays();
  // The stays of one person, ordered by group, then by time.
  std::span<const Stay> StaysOf(PersonNumber person) const;
  std::span<const Stay> StaysOf(PersonNumber person, GroupNumber group) const;
  static Access AccessDuring(const Stay& stay, uint64_t id);
  std::span<const uint32_t> PostsOfGroup(GroupNumber group) const;
  std::vector<DueUpdate> Seen(PersonNumber viewer, std::span<const uint32_t> posts) const;

  const Graph& graph_;
  std::vector<uint64_t> floors_;
  std::vector<MembershipTurn> turns_;  // emptied by Finish
  std::vector<uint64_t> unknown_posts_;

  // Immutable after Finish.
  std::vector<PostRecord> posts_;  // by id
  std::vector<Stay> stays_;        // by person, group, time
  std::vector<uint32_t> stay_begin_;
  // Indexes into posts_, ascending; a group's or author's begin at their entry of *_begin_.
  std::vector<uint32_t> group_posts_;
  std::vector<uint32_t> group_begin_;
  std::vector<uint32_t> author_posts_;
  std::vector<uint32_t> author_begin_;
};

}  // namespace klatch::load
