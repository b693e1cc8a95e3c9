#include "services/read/viewer.h"

#include <algorithm>

namespace klatch {

ViewerState Viewer::StateIn(const Moment& moment) const {
  ViewerState state;
  state.person = id_.value();
  state.surface = surface_;
  state.expired_unix_ms = base::UnixMs(moment.expired_);
  state.now_unix_ms = base::UnixMs(moment.now_);
  if (person_ == nullptr) {
    person_ = people_.Find(id_);
  }
  if (person_ != nullptr) {
    state.memberships = person_->memberships.Load(moment.guard_);
  }
  state.personal = personal_.Find(id_.value(), personal_place_, moment.guard_);
  return state;
}

const GroupEntry* Viewer::FindGroup(const Moment& moment, const GroupId& group) const {
  if (moment.group_ == nullptr || moment.group_->id != group) {
    moment.group_ = groups_.Find(group);
  }
  return moment.group_;
}

bool Viewer::IsMember(GroupIndex group) const {
  const Moment moment(people_, retention_);
  const MembershipList* memberships = StateIn(moment).memberships;
  const Membership* membership = memberships == nullptr ? nullptr : memberships->Find(group);
  return membership != nullptr && membership->stay.role != Role::kNone;
}

std::vector<ShardIndex> Viewer::Shards() const {
  std::vector<ShardIndex> shards;
  {
    const Moment moment(people_, retention_);
    if (const MembershipList* memberships = StateIn(moment).memberships) {
      for (const Membership& membership : memberships->items()) {
        if (membership.stay.role != Role::kNone) {
          shards.push_back(groups_.At(membership.group).shard);
        }
      }
    }
  }
  std::ranges::sort(shards);
  shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
  return shards;
}

Visibility Viewer::JudgeThrough(const Moment& moment, const ViewerState& state,
                                const PageEntry& entry, const Target& target) const {
  // Beyond what is applied a leave may stand that the memberships don't know of.
  if (!target.carry.is_carried() || !applied_.Covers(target.carry.position)) {
    return Visibility::kNotThere;
  }
  const GroupEntry* group = FindGroup(moment, target.group);
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

Visibility Viewer::JudgeSeveral(const Moment& moment, const ViewerState& state,
                                PageEntry& entry) const {
  const std::vector<Target>& targets = entry.body->header().targets;
  entry.through.clear();
  bool is_visible = false;
  Visibility reason = Visibility::kNotThere;
  for (size_t i = 0; i < targets.size(); ++i) {
    const Visibility verdict = JudgeThrough(moment, state, entry, targets[i]);
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

Visibility Viewer::JudgeOne(const Moment& moment, const ViewerState& state,
                            PageEntry& entry) const {
  if (entry.body == nullptr) {
    return Visibility::kNotMember;
  }
  if (entry.body->header().is_of_several()) {
    return JudgeSeveral(moment, state, entry);
  }
  const BodyHeader& header = entry.body->header();
  const GroupEntry* group = FindGroup(moment, header.group);
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
  const Moment moment(people_, retention_);
  const ViewerState state = StateIn(moment);
  std::vector<Visibility> verdicts;
  verdicts.reserve(entries.size());
  for (PageEntry& entry : entries) {
    verdicts.push_back(JudgeOne(moment, state, entry));
  }
  return verdicts;
}

Visibility Viewer::Judge(const Moment& moment, PageEntry& entry) const {
  return JudgeOne(moment, StateIn(moment), entry);
}

void Viewer::RetainVisible(std::vector<PageEntry>& entries) const {
  const Moment moment(people_, retention_);
  const ViewerState state = StateIn(moment);
  std::erase_if(entries, [&](PageEntry& entry) {
    return JudgeOne(moment, state, entry) != Visibility::kVisible;
  });
}

}  // namespace klatch
