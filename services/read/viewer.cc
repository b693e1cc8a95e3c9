#include "services/read/viewer.h"

#include <algorithm>

namespace klatch {

template <typename Look>
auto Viewer::WithState(Look look) const {
  const lockfree::EpochReclaimer::Guard guard(people_.epochs());
  ViewerState state;
  state.person = id_.value();
  state.surface = surface_;
  const base::WallTime now = retention_.clock.Wall();
  state.expired_unix_ms = base::UnixMs(now - retention_.kept);
  state.now_unix_ms = base::UnixMs(now);
  if (const Person* person = people_.Find(id_)) {
    state.memberships = person->memberships.Load(guard);
  }
  state.personal = personal_.Find(id_.value(), guard);
  return look(state);
}

bool Viewer::IsMember(GroupIndex group) const {
  return WithState([group](const ViewerState& state) {
    const Membership* membership =
        state.memberships == nullptr ? nullptr : state.memberships->Find(group);
    return membership != nullptr && membership->stay.role != Role::kNone;
  });
}

std::vector<ShardIndex> Viewer::Shards() const {
  std::vector<ShardIndex> shards = WithState([this](const ViewerState& state) {
    std::vector<ShardIndex> found;
    if (state.memberships != nullptr) {
      for (const Membership& membership : state.memberships->items()) {
        if (membership.stay.role != Role::kNone) {
          found.push_back(groups_.At(membership.group).shard);
        }
      }
    }
    return found;
  });
  std::ranges::sort(shards);
  shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
  return shards;
}

Visibility Viewer::JudgeThrough(const ViewerState& state, const PageEntry& entry,
                                const Target& target) const {
  // Beyond what is applied a leave may stand that the memberships don't know of.
  if (!target.carry.is_carried() || !applied_.Covers(target.carry.position)) {
    return Visibility::kNotThere;
  }
  const GroupEntry* group = groups_.Find(target.group);
  const BodyHeader& header = entry.body->header();
  return group == nullptr ? Visibility::kNotMember
                          : MaySee(state, UpdateState{.id = entry.id,
                                                      .group = group->index,
                                                      .group_id = group->id.value(),
                                                      .position_in_group = target.carry.position,
                                                      .kept_since = group->KeptSince(),
                                                      .header = header,
                                                      .audience = header.AudienceIn(target)});
}

Visibility Viewer::JudgeSeveral(const ViewerState& state, PageEntry& entry) const {
  const std::vector<Target>& targets = entry.body->header().targets;
  entry.through.clear();
  bool is_visible = false;
  Visibility reason = Visibility::kNotThere;
  for (size_t i = 0; i < targets.size(); ++i) {
    const Visibility verdict = JudgeThrough(state, entry, targets[i]);
    if (verdict == Visibility::kVisible) {
      entry.through.push_back(static_cast<uint8_t>(i));
    }
    if (only_.empty() || targets[i].group == only_) {
      is_visible = is_visible || verdict == Visibility::kVisible;
      reason = reason == Visibility::kExpired ? reason : verdict;
    }
  }
  return is_visible ? Visibility::kVisible : reason;
}

Visibility Viewer::JudgeOne(const ViewerState& state, PageEntry& entry) const {
  if (entry.body == nullptr) {
    return Visibility::kNotMember;
  }
  if (entry.body->header().is_of_several()) {
    return JudgeSeveral(state, entry);
  }
  const BodyHeader& header = entry.body->header();
  const GroupEntry* group = groups_.Find(header.group);
  // A group that was never applied here has no members here.
  return group == nullptr ? Visibility::kNotMember
                          : MaySee(state, UpdateState{.id = entry.id,
                                                      .group = group->index,
                                                      .group_id = group->id.value(),
                                                      .position_in_group = entry.id,
                                                      .kept_since = group->KeptSince(),
                                                      .header = header});
}

std::vector<Visibility> Viewer::Judge(std::span<PageEntry> entries) const {
  return WithState([&](const ViewerState& state) {
    std::vector<Visibility> verdicts;
    verdicts.reserve(entries.size());
    for (PageEntry& entry : entries) {
      verdicts.push_back(JudgeOne(state, entry));
    }
    return verdicts;
  });
}

void Viewer::RetainVisible(std::vector<PageEntry>& entries) const {
  WithState([&](const ViewerState& state) {
    return std::erase_if(
        entries, [&](PageEntry& entry) { return JudgeOne(state, entry) != Visibility::kVisible; });
  });
}

}  // namespace klatch
