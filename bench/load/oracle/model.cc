#include "bench/load/oracle/model.h"

#include <algorithm>
#include <tuple>

#include "services/model/position.h"

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
  for (const UnwantedPost& post : history.unwanted) {
    unwanted_[{post.reader, post.update}] = post.until;
  }
}

void Model::Finish() {
  BuildStays();
  std::sort(posts_.begin(), posts_.end(),
            [](const PostRecord& a, const PostRecord& b) { return a.id < b.id; });
  auto same = [this](const PostRecord& a, const PostRecord& b) {
    if (a.id == b.id) {
      repeated_ids_.push_back(a.id);
    }
    return a.id == b.id;
  };
  posts_.erase(std::unique(posts_.begin(), posts_.end(), same), posts_.end());
  SortPostsByGroup();
  Bucket(
      posts_, graph_.person_count(), [](const PostRecord& post) { return post.author; },
      author_begin_, author_posts_);
}

void Model::SortPostsByGroup() {
  struct Placed {
    Place place;
    uint32_t post = 0;
  };
  std::vector<Placed> placed;
  placed.reserve(posts_.size());
  for (uint32_t i = 0; i < posts_.size(); ++i) {
    posts_[i].ForEachPlace([&](const Place& place) { placed.push_back({place, i}); });
  }
  std::sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) {
    return std::tuple(a.place.group, a.place.position) <
           std::tuple(b.place.group, b.place.position);
  });
  group_begin_.assign(graph_.group_count() + 1, 0);
  group_posts_.reserve(placed.size());
  for (const Placed& one : placed) {
    ++group_begin_[one.place.group + 1];
    group_posts_.push_back({one.place.position, one.post});
  }
  for (size_t i = 1; i < group_begin_.size(); ++i) {
    group_begin_[i] += group_begin_[i - 1];
  }
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
      const bool sees_past = turns_[i].turn == Turn::kJoinedOpen;
      if ((turns_[i].turn == Turn::kJoined || sees_past) && !open) {
        stays_.push_back({.group = first.group,
                          .person = first.person,
                          .joined = turns_[i].position,
                          .visible_from = sees_past ? 0 : turns_[i].position});
      } else if (turns_[i].turn == Turn::kLeft && open) {
        stays_.back().left = turns_[i].position;
      } else if (turns_[i].turn == Turn::kUncertain) {
        // Nothing is known for certain: one stay from the beginning that decides nothing.
        stays_.resize(pair_begin);
        stays_.push_back({.group = first.group, .person = first.person, .uncertain = true});
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

std::span<const Model::PostInGroup> Model::PostsOfGroup(GroupNumber group) const {
  return std::span(group_posts_)
      .subspan(group_begin_[group], group_begin_[group + 1] - group_begin_[group]);
}

bool Model::IsForeign(uint64_t id) const {
  uint32_t shard = Position(id).shard().value();
  if (floors_.empty()) {
    return false;
  }
  return shard >= floors_.size() || floors_[shard] == 0 || id <= floors_[shard];
}

Access Model::AccessThrough(PersonNumber viewer, const PostRecord& post, const Place& place) const {
  std::span<const Stay> stays = StaysOf(viewer, place.group);
  if (stays.empty()) {
    return Access::kNone;
  }
  const Stay& last = stays.back();
  if (last.uncertain) {
    return Access::kUncertain;
  }
  bool is_member = last.left == UINT64_MAX;
  if (post.fate != Fate::kDeleted && is_member &&
      place.position > (post.members_now ? last.visible_from : last.joined)) {
    return post.fate == Fate::kMaybeDeleted ? Access::kUncertain : Access::kVisible;
  }
  bool was_due = std::any_of(stays.begin(), stays.end(), [&](const Stay& stay) {
    return stay.Shows(place.position, post.members_now);
  });
  return was_due ? Access::kPast : Access::kNone;
}

Access Model::AccessTo(PersonNumber viewer, const PostRecord& post) const {
  // What is visible through one group is visible; what is uncertain through one may be.
  constexpr auto kRank = [](Access access) {
    return access == Access::kVisible     ? 3
           : access == Access::kUncertain ? 2
                                          : access == Access::kPast;
  };
  Access most = post.elsewhere ? Access::kUncertain : Access::kNone;
  post.ForEachPlace([&](const Place& place) {
    const Access access = AccessThrough(viewer, post, place);
    most = kRank(access) > kRank(most) ? access : most;
  });
  return most;
}

bool Model::HasFromPosting(PersonNumber viewer, const PostRecord& post) const {
  bool has = false;
  post.ForEachPlace([&](const Place& place) {
    std::span<const Stay> stays = StaysOf(viewer, place.group);
    has = has || (!stays.empty() && !stays.back().uncertain && stays.back().left == UINT64_MAX &&
                  stays.back().joined < place.position);
  });
  return has;
}

Access Model::MembershipAt(GroupNumber group, PersonNumber person, uint64_t position) const {
  for (const Stay& stay : StaysOf(person, group)) {
    if (stay.uncertain) {
      return Access::kUncertain;
    }
    if (stay.Covers(position)) {
      return Access::kVisible;
    }
  }
  return Access::kNone;
}

bool Model::HasLeft(GroupNumber group, PersonNumber person) const {
  std::span<const Stay> stays = StaysOf(person, group);
  return std::any_of(stays.begin(), stays.end(),
                     [](const Stay& stay) { return stay.uncertain || stay.left != UINT64_MAX; });
}

std::vector<Model::Departure> Model::Departures() const {
  std::vector<Departure> departures;
  for (const Stay& stay : stays_) {
    bool known = !departures.empty() && departures.back().group == stay.group &&
                 departures.back().person == stay.person;
    if (!stay.uncertain && stay.left != UINT64_MAX && !known) {
      departures.push_back({stay.group, stay.person});
    }
  }
  return departures;
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
    for (const PostInGroup& post : PostsOfGroup(group)) {
      while (came < joined[group].size() && joined[group][came] < post.position) {
        ++came;
      }
      while (went < left[group].size() && left[group][went] < post.position) {
        ++went;
      }
      deliveries += posts_[post.post].is_several() ? 0 : came - went;
    }
  }
  return deliveries + CountSeveral();
}

// Who is in several of a post's groups counts once.
uint64_t Model::CountSeveral() const {
  if (std::none_of(posts_.begin(), posts_.end(),
                   [](const PostRecord& post) { return post.is_several(); })) {
    return 0;
  }
  std::vector<std::vector<uint32_t>> stays_of(graph_.group_count());
  for (uint32_t i = 0; i < stays_.size(); ++i) {
    stays_of[stays_[i].group].push_back(i);
  }
  uint64_t deliveries = 0;
  // By person: the last post that was seen to reach them, counted from 1.
  std::vector<uint32_t> reached_by(graph_.person_count(), 0);
  for (uint32_t i = 0; i < posts_.size(); ++i) {
    for (const Place& place : posts_[i].carries) {
      for (uint32_t index : stays_of[place.group]) {
        const Stay& stay = stays_[index];
        if (!stay.uncertain && stay.Covers(place.position) && reached_by[stay.person] != i + 1) {
          reached_by[stay.person] = i + 1;
          ++deliveries;
        }
      }
    }
  }
  return deliveries;
}

std::vector<DueUpdate> Model::HomeOf(PersonNumber person) const {
  std::vector<DueUpdate> due;
  for (const Stay& stay : StaysOf(person)) {
    std::span<const PostInGroup> posts = PostsOfGroup(stay.group);
    auto first = std::lower_bound(
        posts.begin(), posts.end(), std::min(stay.visible_from, stay.joined),
        [](const PostInGroup& post, uint64_t position) { return post.position < position; });
    for (; first != posts.end() && first->position < stay.left; ++first) {
      const PostRecord& post = posts_[first->post];
      if (first->position > stay.joined || post.members_now) {
        due.push_back({post.id, AccessTo(person, post)});
      }
    }
  }
  // The past of one stay may be the present of another, and one post may be in several groups.
  std::sort(due.begin(), due.end(),
            [](const DueUpdate& a, const DueUpdate& b) { return a.id > b.id; });
  due.erase(std::unique(due.begin(), due.end(),
                        [](const DueUpdate& a, const DueUpdate& b) { return a.id == b.id; }),
            due.end());
  return due;
}

std::vector<DueUpdate> Model::GroupSeenBy(PersonNumber viewer, GroupNumber group) const {
  std::vector<DueUpdate> due;
  for (const PostInGroup& in_group : PostsOfGroup(group)) {
    const PostRecord& post = posts_[in_group.post];
    due.push_back({post.id, AccessThrough(viewer, post, {group, in_group.position})});
  }
  std::sort(due.begin(), due.end(),
            [](const DueUpdate& a, const DueUpdate& b) { return a.id > b.id; });
  return due;
}

std::vector<DueUpdate> Model::ProfileSeenBy(PersonNumber viewer, PersonNumber author) const {
  std::vector<DueUpdate> due;
  const auto posts =
      std::span(author_posts_)
          .subspan(author_begin_[author], author_begin_[author + 1] - author_begin_[author]);
  due.reserve(posts.size());
  for (auto index = posts.rbegin(); index != posts.rend(); ++index) {
    due.push_back({posts_[*index].id, AccessTo(viewer, posts_[*index])});
  }
  return due;
}

}  // namespace klatch::load
