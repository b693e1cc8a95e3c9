#include "bench/load/model.h"

#include <algorithm>
#include <tuple>

namespace klatch::load {
namespace {

// Sorts item numbers into buckets, keeping their order: bucket b is list[begin[b] .. begin[b + 1]).
template <typename Item, typename KeyOf>
void Bucket(const std::vector<Item>& items, size_t buckets, KeyOf key_of,
            std::vector<uint32_t>& begin, std::vector<uint32_t>& list) {
  begin.assign(buckets + 1, 0);
  for (const Item& item : items) {
    ++begin[key_of(item) + 1];
  }
  for (size_t i = 1; i < begin.size(); ++i) {
    begin[i] += begin[i - 1];
  }
  list.resize(items.size());
  std::vector<uint32_t> next(begin.begin(), begin.end() - 1);
  for (uint32_t i = 0; i < items.size(); ++i) {
    list[next[key_of(items[i])]++] = i;
  }
}

}  // namespace

void Model::Add(const History& history) {
  turns_.insert(turns_.end(), history.turns.begin(), history.turns.end());
  posts_.insert(posts_.end(), history.posts.begin(), history.posts.end());
  unknown_posts_.insert(unknown_posts_.end(), history.unknown_posts.begin(),
                        history.unknown_posts.end());
}

void Model::Finish() {
  BuildStays();
  std::sort(posts_.begin(), posts_.end(),
            [](const PostRecord& a, const PostRecord& b) { return a.id < b.id; });
  Bucket(
      posts_, graph_.group_count(), [](const PostRecord& post) { return post.group; }, group_begin_,
      group_posts_);
  Bucket(
      posts_, graph_.person_count(), [](const PostRecord& post) { return post.author; },
      author_begin_, author_posts_);
}

void Model::BuildStays() {
  auto order = [](const MembershipTurn& turn) {
    // An uncertain turn has no position of its own and colours all stays of the pair.
    return std::tuple(turn.person, turn.group, turn.turn == Turn::kUncertain, turn.position);
  };
  std::sort(turns_.begin(), turns_.end(),
            [&order](const auto& a, const auto& b) { return order(a) < order(b); });
  stay_begin_.assign(graph_.person_count() + 1, 0);
  for (size_t i = 0; i < turns_.size();) {
    const MembershipTurn first = turns_[i];
    size_t pair_begin = stays_.size();
    for (; i < turns_.size() && turns_[i].person == first.person && turns_[i].group == first.group;
         ++i) {
      bool open = stays_.size() > pair_begin && stays_.back().left == UINT64_MAX;
      if (turns_[i].turn == Turn::kJoined && !open) {
        stays_.push_back({first.group, first.person, turns_[i].position});
      } else if (turns_[i].turn == Turn::kLeft && open) {
        stays_.back().left = turns_[i].position;
      } else if (turns_[i].turn == Turn::kUncertain) {
        // Nothing is known for certain: one stay from the beginning that decides nothing.
        stays_.resize(pair_begin);
        stays_.push_back({first.group, first.person, 0, UINT64_MAX, true});
      }
    }
    stay_begin_[first.person + 1] += static_cast<uint32_t>(stays_.size() - pair_begin);
  }
  for (size_t i = 1; i < stay_begin_.size(); ++i) {
    stay_begin_[i] += stay_begin_[i - 1];
  }
  turns_ = {};
}

const PostRecord* Model::Find(uint64_t id) const {
  auto found =
      std::lower_bound(posts_.begin(), posts_.end(), id,
                       [](const PostRecord& post, uint64_t wanted) { return post.id < wanted; });
  return found != posts_.end() && found->id == id ? &*found : nullptr;
}

std::span<const Model::Stay> Model::StaysOf(PersonNumber person) const {
  return std::span(stays_).subspan(stay_begin_[person],
                                   stay_begin_[person + 1] - stay_begin_[person]);
}

std::span<const Model::Stay> Model::StaysOf(PersonNumber person, GroupNumber group) const {
  std::span<const Stay> all = StaysOf(person);
  auto first = std::lower_bound(all.begin(), all.end(), group,
                                [](const Stay& stay, GroupNumber g) { return stay.group < g; });
  auto last = first;
  while (last != all.end() && last->group == group) {
    ++last;
  }
  return {first, last};
}

std::span<const uint32_t> Model::PostsOfGroup(GroupNumber group) const {
  return std::span(group_posts_)
      .subspan(group_begin_[group], group_begin_[group + 1] - group_begin_[group]);
}

Access Model::AccessDuring(const Stay& stay, uint64_t id) {
  if (stay.uncertain) {
    return Access::kUncertain;
  }
  if (id < stay.joined || id > stay.left) {
    return Access::kNone;
  }
  return stay.left == UINT64_MAX ? Access::kVisible : Access::kPast;
}

Access Model::AccessTo(PersonNumber viewer, const PostRecord& post) const {
  for (const Stay& stay : StaysOf(viewer, post.group)) {
    Access access = AccessDuring(stay, post.id);
    if (access != Access::kNone) {
      return access;
    }
  }
  return Access::kNone;
}

bool Model::IsMember(GroupNumber group, PersonNumber person) const {
  std::span<const Stay> stays = StaysOf(person, group);
  return !stays.empty() && !stays.back().uncertain && stays.back().left == UINT64_MAX;
}

uint64_t Model::CountDeliveries() const {
  std::vector<std::vector<uint64_t>> joined(graph_.group_count());
  std::vector<std::vector<uint64_t>> left(graph_.group_count());
  for (const Stay& stay : stays_) {
    if (!stay.uncertain) {
      joined[stay.group].push_back(stay.joined);
      left[stay.group].push_back(stay.left);
    }
  }
  uint64_t deliveries = 0;
  for (GroupNumber group = 0; group < graph_.group_count(); ++group) {
    std::sort(joined[group].begin(), joined[group].end());
    std::sort(left[group].begin(), left[group].end());
    size_t came = 0;
    size_t went = 0;
    for (uint32_t index : PostsOfGroup(group)) {
      uint64_t id = posts_[index].id;
      while (came < joined[group].size() && joined[group][came] < id) {
        ++came;
      }
      while (went < left[group].size() && left[group][went] < id) {
        ++went;
      }
      deliveries += came - went;
    }
  }
  return deliveries;
}

std::vector<DueUpdate> Model::HomeOf(PersonNumber person) const {
  std::vector<DueUpdate> due;
  for (const Stay& stay : StaysOf(person)) {
    std::span<const uint32_t> posts = PostsOfGroup(stay.group);
    auto first = std::lower_bound(
        posts.begin(), posts.end(), stay.joined,
        [this](uint32_t index, uint64_t position) { return posts_[index].id < position; });
    for (; first != posts.end() && posts_[*first].id < stay.left; ++first) {
      due.push_back({posts_[*first].id, AccessDuring(stay, posts_[*first].id)});
    }
  }
  std::sort(due.begin(), due.end(),
            [](const DueUpdate& a, const DueUpdate& b) { return a.id > b.id; });
  return due;
}

std::vector<DueUpdate> Model::Seen(PersonNumber viewer, std::span<const uint32_t> posts) const {
  std::vector<DueUpdate> due;
  due.reserve(posts.size());
  for (auto index = posts.rbegin(); index != posts.rend(); ++index) {
    due.push_back({posts_[*index].id, AccessTo(viewer, posts_[*index])});
  }
  return due;
}

std::vector<DueUpdate> Model::GroupSeenBy(PersonNumber viewer, GroupNumber group) const {
  return Seen(viewer, PostsOfGroup(group));
}

std::vector<DueUpdate> Model::ProfileSeenBy(PersonNumber viewer, PersonNumber author) const {
  return Seen(viewer, std::span(author_posts_)
                          .subspan(author_begin_[author],
                                   author_begin_[author + 1] - author_begin_[author]));
}

}  // namespace klatch::load
