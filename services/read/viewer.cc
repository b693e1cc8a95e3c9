#include "services/read/viewer.h"

#include <algorithm>

namespace klatch {

template <typename Look>
auto Viewer::WithState(Look look) const {
  const lockfree::EpochReclaimer::Guard guard(people_.epochs());
  ViewerState state;
  state.person = id_.value();
  state.surface = surface_;
  state.expired_unix_ms = base::UnixMs(retention_.clock.Wall() - retention_.kept);
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

Visibility Viewer::JudgeOne(const ViewerState& state, const PageEntry& entry) const {
  if (entry.body == nullptr) {
    return Visibility::kNotMember;
  }
  const BodyHeader& header = entry.body->header();
  const GroupEntry* group = groups_.Find(header.group);
  // A group that was never applied here has no members here.
  return group == nullptr ? Visibility::kNotMember
                          : MaySee(state, UpdateState{.id = entry.id,
                                                      .group = group->index,
                                                      .group_id = group->id.value(),
                                                      .position_in_group = entry.id,
                                                      .header = header});
}

std::vector<Visibility> Viewer::Judge(std::span<const PageEntry> entries) const {
  return WithState([&](const ViewerState& state) {
    std::vector<Visibility> verdicts;
    verdicts.reserve(entries.size());
    for (const PageEntry& entry : entries) {
      verdicts.push_back(JudgeOne(state, entry));
    }
    return verdicts;
  });
}

void Viewer::RetainVisible(std::vector<PageEntry>& entries) const {
  WithState([&](const ViewerState& state) {
    return std::erase_if(entries, [&](const PageEntry& entry) {
      return JudgeOne(state, entry) != Visibility::kVisible;
    });
  });
}

}  // namespace klatch
