#include "bench/load/player.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

namespace klatch::load {
namespace {

constexpr std::chrono::microseconds kTurnPoll{2000};

}  // namespace

bool AwaitTurn(const Stage& stage, const Pace& pace, uint64_t task) {
  while (!stage.state.MustStop()) {
    if (stage.state.publishing_done.load(std::memory_order_relaxed) ||
        stage.target.Fraction(stage.state) >= pace.DueAt(task)) {
      return true;
    }
    std::this_thread::sleep_for(kTurnPoll);
  }
  return false;
}

PlannedPost NextPost(const Stage& stage) {
  for (;;) {
    uint64_t number = stage.state.next_post.fetch_add(1, std::memory_order_relaxed);
    if (!stage.samples.Contains(number)) {
      return stage.plan.At(number);
    }
  }
}

double Target::Fraction(const RunState& state) const {
  double fraction = 1.0;
  auto part = [&fraction](uint64_t reached, uint64_t wanted) {
    if (wanted != 0) {
      fraction = std::min(fraction, static_cast<double>(reached) / static_cast<double>(wanted));
    }
  };
  part(state.published.load(std::memory_order_relaxed), updates);
  part(state.deliveries_expected.load(std::memory_order_relaxed), deliveries);
  return fraction;
}

klatch::v1::PublishUpdateRequest MakeRequest(const Stage& stage, const PlannedPost& post) {
  klatch::v1::PublishUpdateRequest request;
  request.set_actor(stage.graph.person(post.author));
  request.set_request_id(stage.plan.RequestIdOf(post.number));
  request.mutable_update()->add_groups(stage.graph.group(post.group).id);
  request.mutable_update()->set_text(stage.plan.TextOf(post.number));
  request.mutable_update()->set_audience(post.members_now
                                             ? klatch::v1::AUDIENCE_MEMBERS_NOW
                                             : klatch::v1::AUDIENCE_MEMBERS_AT_POSTING);
  return request;
}

void Record(const Stage& stage, const PlannedPost& post, const PublishOutcome& outcome,
            History& history) {
  switch (outcome.certainty) {
    case Certainty::kDone:
      history.posts.push_back(
          {outcome.update_id, post.number, post.group, post.author, post.members_now});
      stage.state.group_posts[post.group].fetch_add(1, std::memory_order_relaxed);
      stage.state.published.fetch_add(1, std::memory_order_relaxed);
      stage.state.deliveries_expected.fetch_add(
          stage.state.group_sizes[post.group].load(std::memory_order_relaxed),
          std::memory_order_relaxed);
      return;
    case Certainty::kUnknown:
      history.unknown_posts.push_back(post.number);
      stage.state.unknown.fetch_add(1, std::memory_order_relaxed);
      if (!outcome.fault.empty()) {
        stage.violations.AddOther(fmt::format("{}: of {} to {}", outcome.fault,
                                              stage.graph.person(post.author),
                                              stage.graph.group(post.group).id));
      }
      return;
    case Certainty::kRefused:
      break;
  }
  bool had_left = outcome.status.error_code() == grpc::StatusCode::PERMISSION_DENIED &&
                  stage.plan.MayLeave(post.group, post.author);
  if (had_left) {
    history.refusals.push_back({post.group, post.author});
  } else if (!stage.state.MustStop()) {
    stage.violations.AddOther(
        fmt::format("refused: a post of {} to {}: {}", stage.graph.person(post.author),
                    stage.graph.group(post.group).id, outcome.status.error_message()));
  }
}

std::chrono::steady_clock::time_point Publisher::WhenMeant(uint64_t number) const {
  return options_.start +
         std::chrono::nanoseconds(static_cast<int64_t>(1e9 * static_cast<double>(number) /
                                                       static_cast<double>(options_.rate)));
}

void Publisher::PublishNext() {
  uint64_t first = stage_.state.next_post.fetch_add(options_.batch, std::memory_order_relaxed);
  std::vector<PlannedPost> posts;
  std::vector<klatch::v1::PublishUpdateRequest> requests;
  for (uint64_t number = first; number < first + options_.batch; ++number) {
    if (!stage_.samples.Contains(number)) {
      posts.push_back(stage_.plan.At(number));
      requests.push_back(MakeRequest(stage_, posts.back()));
    }
  }
  if (posts.empty()) {
    return;
  }
  if (options_.rate != 0) {
    std::this_thread::sleep_until(WhenMeant(posts.back().number));
  }
  auto sent = std::chrono::steady_clock::now();
  std::vector<PublishOutcome> outcomes = client_.Publish(requests);
  auto answered = std::chrono::steady_clock::now();
  for (size_t i = 0; i < posts.size(); ++i) {
    if (outcomes[i].certainty == Certainty::kDone) {
      auto meant = options_.rate != 0 ? WhenMeant(posts[i].number) : sent;
      stage_.latencies.publish.Record(answered - meant);
    }
    Record(stage_, posts[i], outcomes[i], history_);
  }
}

void Publisher::WaitForCompanions() const {
  auto may_go_on = [this] {
    double fraction = stage_.target.Fraction(stage_.state);
    return std::all_of(stage_.state.companions.begin(), stage_.state.companions.end(),
                       [fraction](const auto& pace) { return pace->Allows(fraction); });
  };
  while (!stage_.state.MustStop() && !may_go_on()) {
    std::this_thread::sleep_for(kTurnPoll);
  }
}

void Publisher::Run() {
  while (!stage_.target.Reached(stage_.state) && !stage_.state.MustStop()) {
    WaitForCompanions();
    PublishNext();
  }
}

}  // namespace klatch::load
