#include "bench/load/churn.h"

#include <fmt/format.h>

#include <thread>

namespace klatch::load {
namespace {

constexpr std::chrono::milliseconds kAwayMin{50};
constexpr uint64_t kAwaySpreadMs = 1500;

uint64_t FirstPosition(const google::protobuf::RepeatedField<uint64_t>& chunk_positions) {
  return chunk_positions.empty() ? 0 : chunk_positions[0];
}

}  // namespace

std::string Churn::NextRequestId() {
  return fmt::format("{}-churn-{}", stage_.plan.run(), calls_++);
}

void Churn::Undecided(GroupNumber group, PersonNumber person) {
  stage_.state.unknown.fetch_add(1, std::memory_order_relaxed);
  history_.turns.push_back({group, person, 0, Turn::kUncertain});
}

void Churn::Leave(GroupNumber group, PersonNumber person) {
  bool by_owner = random_.Below(2) == 0;
  klatch::v1::RemoveMembersRequest request;
  request.set_actor(stage_.graph.person(by_owner ? stage_.graph.group(group).owner : person));
  request.set_request_id(NextRequestId());
  request.set_group(stage_.graph.group(group).id);
  request.add_persons(stage_.graph.person(person));
  auto outcome = client_.RemoveMembers(request);
  busy_.insert({group, person});
  if (outcome.certainty == Certainty::kUnknown) {
    Undecided(group, person);
    return;
  }
  uint64_t position = FirstPosition(outcome.response.chunk_positions());
  if (!outcome.done() || position == 0) {
    if (!stage_.state.MustStop()) {
      Undecided(group, person);
      stage_.violations.AddOther(fmt::format(
          "{} could not leave {}: {}", stage_.graph.person(person), stage_.graph.group(group).id,
          outcome.done() ? "said to be no member" : outcome.status.error_message()));
    }
    return;
  }
  history_.turns.push_back({group, person, position, Turn::kLeft});
  stage_.state.departures.fetch_add(1, std::memory_order_relaxed);
  stage_.state.group_sizes[group].fetch_sub(1, std::memory_order_relaxed);
  away_.push_back({group, person,
                   std::chrono::steady_clock::now() + kAwayMin +
                       std::chrono::milliseconds(random_.Below(kAwaySpreadMs))});
  LookForLeaks(group, person);
}

void Churn::LookForLeaks(GroupNumber group, PersonNumber person) {
  const std::string& actor = stage_.graph.person(person);
  const std::string& group_id = stage_.graph.group(group).id;
  TimelineRead home = client_.ReadHome(actor, {}, {.page_size = 200, .pages_max = 1});
  for (const auto& update : home.updates) {
    if (update.groups_size() > 0 && update.groups(0) == group_id) {
      stage_.violations.Add(Violation::kLeaked, person, update.id(), "home timeline after leaving");
    }
  }
  TimelineRead feed = client_.ReadGroup(actor, group_id, {}, {.page_size = 50, .pages_max = 1});
  for (const auto& update : feed.updates) {
    stage_.violations.Add(Violation::kLeaked, person, update.id(), "group timeline after leaving");
  }
}

void Churn::Return(const Away& away) {
  LookForLeaks(away.group, away.person);
  klatch::v1::AddMembersRequest request;
  request.set_actor(stage_.graph.person(stage_.graph.group(away.group).owner));
  request.set_request_id(NextRequestId());
  request.set_group(stage_.graph.group(away.group).id);
  request.add_members()->set_person(stage_.graph.person(away.person));
  auto outcome = client_.AddMembers(request);
  uint64_t position = FirstPosition(outcome.response.chunk_positions());
  if (outcome.done() && position != 0) {
    history_.turns.push_back({away.group, away.person, position, Turn::kJoined});
    stage_.state.returns.fetch_add(1, std::memory_order_relaxed);
    stage_.state.group_sizes[away.group].fetch_add(1, std::memory_order_relaxed);
    busy_.erase({away.group, away.person});
    return;
  }
  if (outcome.certainty == Certainty::kUnknown || !stage_.state.MustStop()) {
    Undecided(away.group, away.person);
  }
  if (outcome.certainty != Certainty::kUnknown && !stage_.state.MustStop()) {
    stage_.violations.AddOther(fmt::format(
        "{} could not come back to {}: {}", stage_.graph.person(away.person),
        stage_.graph.group(away.group).id,
        outcome.done() ? "said to be a member already" : outcome.status.error_message()));
  }
}

bool Churn::SomebodyReturns() {
  bool due = !away_.empty() && away_.front().back_at <= std::chrono::steady_clock::now();
  if (!due && away_.size() < kAwayMax) {
    return false;
  }
  Away away = away_.front();
  away_.pop_front();
  Return(away);
  return true;
}

void Churn::SomebodyLeaves() {
  // One membership in eight may end, so a few draws find one; a graph without any is left in peace.
  for (int draw = 0; draw < 64; ++draw) {
    auto group = static_cast<GroupNumber>(random_.Below(stage_.graph.group_count()));
    const GroupSpec& spec = stage_.graph.group(group);
    PersonNumber person = spec.members[random_.Below(spec.members.size())];
    if (stage_.plan.MayLeave(group, person) && !busy_.contains({group, person})) {
      Leave(group, person);
      return;
    }
  }
}

void Churn::TakeTurn() {
  // Alternately while somebody is due back, so that about as many come as go.
  if (random_.Below(2) == 0 && SomebodyReturns()) {
    return;
  }
  if (away_.size() < kAwayMax) {
    SomebodyLeaves();
  } else {
    SomebodyReturns();
  }
}

void Churn::Run() {
  if (options_.turns_per_second == 0) {
    return;
  }
  auto step = std::chrono::nanoseconds(1'000'000'000 / options_.turns_per_second);
  auto next = std::chrono::steady_clock::now();
  while (!stage_.state.posting_done.load(std::memory_order_relaxed) && !stage_.state.MustStop()) {
    TakeTurn();
    // Turns that a slow answer or a restart cost are not made up for.
    next = std::max(next + step, std::chrono::steady_clock::now() - step);
    std::this_thread::sleep_until(next);
  }
}

}  // namespace klatch::load
