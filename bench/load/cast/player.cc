#include "bench/load/cast/player.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <thread>

namespace klatch::load {
namespace {

constexpr std::chrono::microseconds kTurnPoll{2000};
constexpr int kReaderDraws = 16;
// What one to all groups counts as.
constexpr size_t kAllMyGroupsCount = 100;

bool IsRefusal(const Stage& stage, GroupNumber group, PersonNumber author, grpc::StatusCode code) {
  return code == grpc::StatusCode::PERMISSION_DENIED && stage.plan.MayLeave(group, author);
}

// What the groups of an accepted post say: who took it goes to `record`, who refused rightly to
// `history`.
class Carries {
 public:
  Carries(const Stage& stage, const PlannedPost& post, PostRecord& record, History& history)
      : stage_(stage), post_(post), record_(record), history_(history) {}

  void Take(const std::vector<klatch::v1::GroupResult>& results) {
    for (const klatch::v1::GroupResult& result : results) {
      TakeOne(result);
    }
    if (!record_.carries.empty()) {
      record_.group = record_.carries.front().group;
    }
    for (GroupNumber group : Wanted()) {
      // Who has just left is not counted to the group any more.
      bool may_lack = post_.all_my_groups && stage_.plan.MayLeave(group, post_.author);
      if (!answered_.contains(group) && !may_lack) {
        Fault(fmt::format("says nothing of {}", stage_.graph.group(group).id));
      }
    }
  }

 private:
  void TakeOne(const klatch::v1::GroupResult& result) {
    std::optional<GroupNumber> group = stage_.graph.FindGroup(result.group());
    const bool took = result.position() != 0;
    if (!group.has_value()) {
      record_.elsewhere = record_.elsewhere || took;
      if (!post_.all_my_groups) {
        Fault(fmt::format("speaks of {}, which was not asked for", result.group()));
      }
      return;
    }
    answered_.insert(*group);
    if (took) {
      record_.carries.push_back({*group, result.position()});
    } else if (IsRefusal(stage_, *group, post_.author,
                         static_cast<grpc::StatusCode>(result.error().code()))) {
      history_.refusals.push_back({*group, post_.author});
    } else {
      Fault(fmt::format("is refused by {}: {}", result.group(), result.error().message()));
    }
  }
  std::vector<GroupNumber> Wanted() const {
    if (post_.all_my_groups) {
      const auto groups = stage_.graph.GroupsOf(post_.author);
      return {groups.begin(), groups.end()};
    }
    std::vector<GroupNumber> groups = post_.others;
    groups.push_back(post_.group);
    return groups;
  }
  void Fault(std::string_view what) {
    stage_.violations.AddOther(
        fmt::format("a post of {} to several groups {}", stage_.graph.person(post_.author), what));
  }

  const Stage& stage_;
  const PlannedPost& post_;
  PostRecord& record_;
  History& history_;
  std::set<GroupNumber> answered_;
};

}  // namespace

size_t GroupsNamed(const PlannedPost& post) {
  return post.all_my_groups ? kAllMyGroupsCount : 1 + post.others.size();
}

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

std::chrono::steady_clock::time_point MeantFor(const Stage& stage, const Pace& pace,
                                               uint64_t task) {
  const auto now = std::chrono::steady_clock::now();
  if (!stage.target.IsTimed()) {
    return now;
  }
  const std::chrono::nanoseconds since(
      static_cast<int64_t>(pace.DueAt(task) * static_cast<double>(stage.target.duration.count())));
  return std::min(now, stage.state.start + since);
}

PlannedPost NextPost(const Stage& stage) {
  for (;;) {
    uint64_t number = stage.state.next_post.fetch_add(1, std::memory_order_relaxed);
    if (!stage.samples.Contains(number)) {
      return stage.plan.At(number);
    }
  }
}

PersonNumber FindReader(const Stage& stage, GroupNumber group, Random& random) {
  for (int draw = 0; draw < kReaderDraws; ++draw) {
    const PersonNumber reader = stage.plan.StayingMember(group, random);
    if (!stage.quarrels.Has(reader) && !stage.quiet.Has(reader)) {
      return reader;
    }
  }
  return kNobody;
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
  if (duration.count() != 0) {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - state.start;
    fraction = std::min(fraction, passed / duration);
  }
  return fraction;
}

klatch::v1::PublishUpdateRequest MakeRequest(const Stage& stage, const PlannedPost& post) {
  klatch::v1::PublishUpdateRequest request;
  request.set_actor(stage.graph.person(post.author));
  request.set_request_id(stage.plan.RequestIdOf(post.number));
  request.set_all_my_groups(post.all_my_groups);
  if (!post.all_my_groups) {
    request.mutable_update()->add_groups(stage.graph.group(post.group).id);
  }
  for (GroupNumber other : post.others) {
    request.mutable_update()->add_groups(stage.graph.group(other).id);
  }
  request.mutable_update()->set_text(stage.plan.TextOf(post.number));
  request.mutable_update()->set_audience(post.members_now
                                             ? klatch::v1::AUDIENCE_MEMBERS_NOW
                                             : klatch::v1::AUDIENCE_MEMBERS_AT_POSTING);
  return request;
}

GroupNumber GroupThatTook(const Stage& stage, const PlannedPost& post,
                          const PublishOutcome& outcome) {
  for (const klatch::v1::GroupResult& result : outcome.groups) {
    std::optional<GroupNumber> group = stage.graph.FindGroup(result.group());
    if (result.position() != 0 && group.has_value()) {
      return *group;
    }
  }
  return post.group;
}

namespace {

void RecordAccepted(const Stage& stage, const PlannedPost& post, const PublishOutcome& outcome,
                    std::chrono::steady_clock::time_point moment, History& history) {
  PostRecord record{outcome.update_id, post.number, post.group, post.author, post.members_now};
  record.sent = moment;
  if (post.is_several()) {
    Carries(stage, post, record, history).Take(outcome.groups);
  }
  uint32_t readers = 0;
  record.ForEachPlace([&](const Place& place) {
    stage.state.group_posts[place.group].fetch_add(1, std::memory_order_relaxed);
    // Those of the largest: who is in several of its groups is reached once.
    readers =
        std::max(readers, stage.state.group_sizes[place.group].load(std::memory_order_relaxed));
  });
  stage.state.deliveries_expected.fetch_add(readers, std::memory_order_relaxed);
  stage.state.published.fetch_add(1, std::memory_order_relaxed);
  stage.state.several.fetch_add(post.is_several() ? 1 : 0, std::memory_order_relaxed);
  history.posts.push_back(std::move(record));
}

// Whether its author may have left all of its groups.
bool MayBeRefused(const Stage& stage, const PlannedPost& post, grpc::StatusCode code) {
  if (post.all_my_groups) {
    const auto groups = stage.graph.GroupsOf(post.author);
    return code == grpc::StatusCode::FAILED_PRECONDITION &&
           std::all_of(groups.begin(), groups.end(),
                       [&](GroupNumber group) { return stage.plan.MayLeave(group, post.author); });
  }
  return IsRefusal(stage, post.group, post.author, code) &&
         std::all_of(post.others.begin(), post.others.end(),
                     [&](GroupNumber group) { return stage.plan.MayLeave(group, post.author); });
}

}  // namespace

void Record(const Stage& stage, const PlannedPost& post, const PublishOutcome& outcome,
            std::chrono::steady_clock::time_point moment, History& history) {
  switch (outcome.certainty) {
    case Certainty::kDone:
      RecordAccepted(stage, post, outcome, moment, history);
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
  if (MayBeRefused(stage, post, outcome.status.error_code())) {
    history.refusals.push_back({post.group, post.author});
  } else if (!stage.state.MustStop()) {
    stage.violations.AddOther(
        fmt::format("refused: a post of {} to {}: {}", stage.graph.person(post.author),
                    stage.graph.group(post.group).id, outcome.status.error_message()));
  }
}

void Publisher::PublishNext() {
  uint64_t first = stage_.state.next_post.fetch_add(options_.batch, std::memory_order_relaxed);
  std::vector<PlannedPost> posts;
  size_t groups_named = 0;
  for (uint64_t number = first; number < first + options_.batch; ++number) {
    if (stage_.samples.Contains(number)) {
      continue;
    }
    PlannedPost post = stage_.plan.At(number);
    groups_named += GroupsNamed(post);
    if (groups_named > kGroupsPerBatchMax) {
      PublishAll(posts);
      posts.clear();
      groups_named = GroupsNamed(post);
    }
    posts.push_back(std::move(post));
  }
  if (!posts.empty()) {
    PublishAll(posts);
  }
}

void Publisher::PublishAll(const std::vector<PlannedPost>& posts) {
  std::vector<klatch::v1::PublishUpdateRequest> requests;
  for (const PlannedPost& post : posts) {
    requests.push_back(MakeRequest(stage_, post));
  }
  auto sent = std::chrono::steady_clock::now();
  std::vector<PublishOutcome> outcomes = client_.Publish(requests);
  auto answered = std::chrono::steady_clock::now();
  for (size_t i = 0; i < posts.size(); ++i) {
    if (outcomes[i].certainty == Certainty::kDone) {
      stage_.latencies.publish.Record(answered - sent);
      stage_.state.answered.fetch_add(1, std::memory_order_relaxed);
    }
    Record(stage_, posts[i], outcomes[i], sent, history_);
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
