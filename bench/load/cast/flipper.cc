#include "bench/load/cast/flipper.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <thread>

#include "services/model/limits.h"

namespace klatch::load {
namespace {

// So many more than the size: people of the graph leave meanwhile.
constexpr uint64_t kMargin = 40;
constexpr std::chrono::milliseconds kSwitchTimeout{2'000};
constexpr std::chrono::milliseconds kSwitchPoll{10};

}  // namespace

std::vector<GroupNumber> ChooseToFlip(const Graph& graph, size_t count, uint64_t above) {
  std::vector<GroupNumber> groups(graph.group_count());
  std::iota(groups.begin(), groups.end(), 0);
  std::erase_if(groups,
                [&](GroupNumber group) { return graph.group(group).members.size() > above; });
  std::stable_sort(groups.begin(), groups.end(), [&](GroupNumber a, GroupNumber b) {
    return graph.group(a).members.size() > graph.group(b).members.size();
  });
  groups.resize(std::min(groups.size(), count));
  return groups;
}

std::string Flipper::FillerOf(GroupNumber group, uint64_t filler) const {
  return fmt::format("filler-{}-{}-{}", stage_.plan.run(), group, filler);
}

uint64_t Flipper::FillersFor(GroupNumber group) const {
  return above_ + kMargin - stage_.graph.group(group).members.size();
}

bool Flipper::Fill(GroupNumber group, uint64_t turn) {
  for (uint64_t next = 0; next < FillersFor(group);) {
    klatch::v1::AddMembersRequest request;
    request.set_actor(stage_.graph.person(stage_.graph.group(group).owner));
    request.set_request_id(fmt::format("{}-fill-{}-{}-{}", stage_.plan.run(), group, turn, next));
    request.set_group(stage_.graph.group(group).id);
    for (size_t i = 0; i < limits::kMembersPerScript && next < FillersFor(group); ++i) {
      request.add_members()->set_person(FillerOf(group, next++));
    }
    if (auto outcome = client_.AddMembers(request); !outcome.done()) {
      return false;
    }
  }
  return true;
}

bool Flipper::Empty(GroupNumber group, uint64_t turn) {
  for (uint64_t next = 0; next < FillersFor(group);) {
    klatch::v1::RemoveMembersRequest request;
    request.set_actor(stage_.graph.person(stage_.graph.group(group).owner));
    request.set_request_id(fmt::format("{}-empty-{}-{}-{}", stage_.plan.run(), group, turn, next));
    request.set_group(stage_.graph.group(group).id);
    for (size_t i = 0; i < limits::kMembersPerScript && next < FillersFor(group); ++i) {
      request.add_persons(FillerOf(group, next++));
    }
    if (auto outcome = client_.RemoveMembers(request); !outcome.done()) {
      return false;
    }
  }
  return true;
}

bool Flipper::AwaitPulled(GroupNumber group, bool pulled) {
  klatch::v1::GetGroupRequest request;
  request.set_actor(stage_.graph.person(stage_.graph.group(group).owner));
  request.set_group(stage_.graph.group(group).id);
  const auto end = std::chrono::steady_clock::now() + kSwitchTimeout;
  while (!stage_.state.MustStop() && std::chrono::steady_clock::now() < end) {
    const auto outcome = client_.GetGroup(request);
    if (outcome.done() && outcome.response.group().pulled() == pulled) {
      return true;
    }
    std::this_thread::sleep_for(kSwitchPoll);
  }
  return false;
}

void Flipper::Cross(GroupNumber group, bool up, uint64_t turn) {
  const bool moved = up ? Fill(group, turn) : Empty(group, turn);
  if (!moved) {
    if (!stage_.state.MustStop()) {
      stage_.violations.AddOther(fmt::format(
          "{} could not be made {}", stage_.graph.group(group).id, up ? "large" : "small again"));
    }
    return;
  }
  // Down only counts behind a way up.
  flips_ += AwaitPulled(group, up) && (up || flips_ > 0) ? 1 : 0;
}

void Flipper::Run() {
  for (uint64_t turn = 0; turn < pace_.tasks() && AwaitTurn(stage_, pace_, turn); ++turn) {
    const uint64_t round = turn / groups_.size();
    Cross(groups_[turn % groups_.size()], round % 2 == 0, turn);
    pace_.Done();
  }
}

}  // namespace klatch::load
