#include "bench/load/cast/churn.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

namespace klatch::load {
namespace {

constexpr std::chrono::milliseconds kAwayMin{50};
constexpr uint64_t kAwaySpreadMs = 250;
constexpr int kDrawsMax = 256;
constexpr int kLookAroundPage = 20;
constexpr size_t kSeenMax = 3;
constexpr uint64_t kOneForGoodOf = 4;

uint64_t FirstPosition(const google::protobuf::RepeatedField<uint64_t>& chunk_positions) {
  return chunk_positions.empty() ? 0 : chunk_positions[0];
}

}  // namespace

Churn::Churn(const Stage& stage, const Options& options, Pace& pace)
    : stage_(stage),
      options_(options),
      pace_(pace),
      // In a short run fewer are away, so that most of them come back in it.
      away_max_(std::clamp<size_t>(pace.tasks() / 4, 1, kAwayMax)),
      client_(options.client, stage.state),
      random_(options.seed) {}

std::string Churn::NextRequestId() {
  return fmt::format("{}-churn-{}-{}", stage_.plan.run(), options_.index, calls_++);
}

void Churn::NotJudged(GroupNumber group, PersonNumber person) {
  history_.turns.push_back({group, person, 0, Turn::kUncertain});
}

void Churn::CouldNot(std::string_view what, GroupNumber group, PersonNumber person,
                     std::string_view why) {
  stage_.violations.AddOther(fmt::format("{} could not {} {}: {}", stage_.graph.person(person),
                                         what, stage_.graph.group(group).id, why));
}

std::vector<Churn::Seen> Churn::LookAround(GroupNumber group, PersonNumber person) {
  // Who has just come back is a member for readers only once the return is applied.
  const auto back = back_.find({group, person});
  TimelineRead read = client_.ReadGroup(
      stage_.graph.person(person), stage_.graph.group(group).id,
      back == back_.end() ? std::span<const klatch::v1::Token>() : std::span(&back->second, 1),
      {.page_size = kLookAroundPage, .pages_max = 1});
  if (!read.ok() && !stage_.state.MustStop()) {
    CouldNot("read", group, person, read.status.error_message());
  }
  std::vector<Seen> seen;
  // From all over the page, not only the newest.
  size_t step = std::max<size_t>(1, read.updates.size() / kSeenMax);
  for (size_t i = 0; i < read.updates.size() && seen.size() < kSeenMax; i += step) {
    seen.push_back({read.updates[i].id(), read.updates[i].author()});
  }
  return seen;
}

void Churn::Leave(GroupNumber group, PersonNumber person) {
  Away away{.group = group, .person = person, .back_at = {}, .seen = LookAround(group, person)};
  bool by_owner = random_.Below(2) == 0;
  klatch::v1::RemoveMembersRequest request;
  request.set_actor(stage_.graph.person(by_owner ? stage_.graph.group(group).owner : person));
  request.set_request_id(NextRequestId());
  request.set_group(stage_.graph.group(group).id);
  request.add_persons(stage_.graph.person(person));
  auto outcome = client_.RemoveMembers(request);
  busy_.insert({group, person});
  uint64_t position = FirstPosition(outcome.response.chunk_positions());
  if (!outcome.done() || position == 0) {
    NotJudged(group, person);
    if (outcome.certainty == Certainty::kUnknown) {
      stage_.state.unknown.fetch_add(1, std::memory_order_relaxed);
    } else if (!stage_.state.MustStop()) {
      CouldNot("leave", group, person,
               outcome.done() ? "said to be no member" : outcome.status.error_message());
    }
    return;
  }
  history_.turns.push_back({group, person, position, Turn::kLeft});
  stage_.state.departures.fetch_add(1, std::memory_order_relaxed);
  stage_.state.telling_departures.fetch_add(away.seen.empty() ? 0 : 1, std::memory_order_relaxed);
  stage_.state.group_sizes[group].fetch_sub(1, std::memory_order_relaxed);
  away.back_at = std::chrono::steady_clock::now() + kAwayMin +
                 std::chrono::milliseconds(random_.Below(kAwaySpreadMs));
  LookForLeaks(away);
  if (!StaysAway()) {
    away_.push(std::move(away));
  }
}

bool Churn::StaysAway() { return departures_++ % kOneForGoodOf == options_.index % kOneForGoodOf; }

// Whether it is shown through the group. What several groups have may be seen through another.
bool Churn::IsOf(const klatch::v1::Update& update, GroupNumber group) const {
  const auto& groups = update.groups();
  return std::find(groups.begin(), groups.end(), stage_.graph.group(group).id) != groups.end();
}

void Churn::JudgePage(const Away& away, const TimelineRead& read, Surface surface) {
  if (!read.ok()) {
    if (!stage_.state.MustStop()) {
      stage_.violations.AddOther(fmt::format("{} of {} could not be read: {}", NameOf(surface),
                                             stage_.graph.person(away.person),
                                             read.status.error_message()));
    }
    return;
  }
  for (const auto& update : read.updates) {
    if (IsOf(update, away.group)) {
      stage_.violations.Add(Violation::kLeaked, surface, away.person, update.id(), "after leaving");
    }
  }
}

void Churn::JudgeSingle(const Away& away, uint64_t update) {
  auto outcome = client_.GetUpdate(stage_.graph.person(away.person), update, {});
  if (outcome.done()) {
    const klatch::v1::Update& shown = outcome.response.update();
    if (shown.groups().empty() || IsOf(shown, away.group)) {
      stage_.violations.Add(Violation::kLeaked, Surface::kSingle, away.person, update,
                            "after leaving");
    }
  } else if (outcome.status.error_code() != grpc::StatusCode::NOT_FOUND &&
             !stage_.state.MustStop()) {
    stage_.violations.AddOther(fmt::format("update {} could not be asked for: {}", update,
                                           outcome.status.error_message()));
  }
}

void Churn::LookForLeaks(const Away& away) {
  const std::string& actor = stage_.graph.person(away.person);
  JudgePage(away, client_.ReadHome(actor, {}, {}), Surface::kHome);
  TimelineRead feed = client_.ReadGroup(actor, stage_.graph.group(away.group).id, {},
                                        {.page_size = 50, .pages_max = 1});
  // The group is closed to them; an answer is only right if it is empty.
  if (feed.status.error_code() != grpc::StatusCode::PERMISSION_DENIED) {
    JudgePage(away, feed, Surface::kGroup);
  }
  for (const Seen& seen : away.seen) {
    JudgeSingle(away, seen.update);
  }
  if (!away.seen.empty()) {
    TimelineRead profile = client_.ReadProfile(actor, away.seen.front().author, {},
                                               {.down_to = away.seen.front().update});
    JudgePage(away, profile, Surface::kProfile);
  }
}

void Churn::Return(const Away& away) {
  LookForLeaks(away);
  klatch::v1::AddMembersRequest request;
  request.set_actor(stage_.graph.person(stage_.graph.group(away.group).owner));
  request.set_request_id(NextRequestId());
  request.set_group(stage_.graph.group(away.group).id);
  request.add_members()->set_person(stage_.graph.person(away.person));
  auto outcome = client_.AddMembers(request);
  uint64_t position = FirstPosition(outcome.response.chunk_positions());
  if (outcome.done() && position != 0 && !outcome.response.tokens().empty()) {
    Turn turn = stage_.state.opens_past[away.group] != 0 ? Turn::kJoinedOpen : Turn::kJoined;
    history_.turns.push_back({away.group, away.person, position, turn});
    stage_.state.returns.fetch_add(1, std::memory_order_relaxed);
    stage_.state.group_sizes[away.group].fetch_add(1, std::memory_order_relaxed);
    back_[{away.group, away.person}] = outcome.response.tokens(0);
    busy_.erase({away.group, away.person});
    return;
  }
  NotJudged(away.group, away.person);
  if (outcome.certainty == Certainty::kUnknown) {
    stage_.state.unknown.fetch_add(1, std::memory_order_relaxed);
  } else if (!stage_.state.MustStop()) {
    CouldNot("come back to", away.group, away.person,
             outcome.done() ? "said to be a member already" : outcome.status.error_message());
  }
}

void Churn::SomebodyReturns() {
  Away away = away_.top();
  away_.pop();
  std::this_thread::sleep_until(away.back_at);
  Return(away);
}

bool Churn::SomebodyLeaves() {
  uint64_t posted = std::max<uint64_t>(1, stage_.state.next_post.load(std::memory_order_relaxed));
  for (int draw = 0; draw < kDrawsMax; ++draw) {
    // Choosy at first: a group that somebody has posted to. Then any.
    const bool choosy = draw < kDrawsMax / 2;
    auto group = choosy ? stage_.plan.At(random_.Below(posted)).group
                        : static_cast<GroupNumber>(random_.Below(stage_.graph.group_count()));
    bool silent = stage_.state.group_posts[group].load(std::memory_order_relaxed) == 0;
    if (group % options_.threads != options_.index || (choosy && silent)) {
      continue;
    }
    const GroupSpec& spec = stage_.graph.group(group);
    PersonNumber person = spec.members[random_.Below(spec.members.size())];
    if (stage_.plan.MayLeave(group, person) && !busy_.contains({group, person}) &&
        !stage_.quiet.Has(person)) {
      Leave(group, person);
      return true;
    }
  }
  return false;
}

void Churn::TakeTurn() {
  bool due = !away_.empty() && away_.top().back_at <= std::chrono::steady_clock::now();
  if (due || away_.size() >= away_max_) {
    SomebodyReturns();
  } else if (!SomebodyLeaves() && !away_.empty()) {
    SomebodyReturns();
  }
}

void Churn::Run() {
  for (uint64_t turn = 0; turn < pace_.tasks() && AwaitTurn(stage_, pace_, turn); ++turn) {
    TakeTurn();
    pace_.Done();
  }
}

}  // namespace klatch::load
