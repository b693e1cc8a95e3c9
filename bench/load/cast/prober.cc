#include "bench/load/cast/prober.h"

#include <fmt/format.h>

#include <algorithm>

namespace klatch::load {
namespace {

constexpr int kPageSize = 50;
constexpr uint64_t kSendAgainEvery = 16;
constexpr int kDrawsMax = 64;

}  // namespace

void Prober::LookFor(const PlannedPost& post, const PublishOutcome& published,
                     std::chrono::steady_clock::time_point meant, Random& random) {
  const bool under_load = !stage_.state.publishing_done.load(std::memory_order_relaxed);
  PersonNumber recipient = FindReader(stage_, GroupThatTook(stage_, post, published), random);
  if (recipient == kNobody) {
    return;
  }
  TimelineRead read = client_.ReadHome(stage_.graph.person(recipient), published.tokens,
                                       {.page_size = kPageSize, .down_to = published.update_id});
  auto answered = std::chrono::steady_clock::now();
  if (!read.ok()) {
    if (!stage_.state.MustStop()) {
      stage_.violations.AddOther(fmt::format("home timeline of {} could not be read: {}",
                                             stage_.graph.person(recipient),
                                             read.status.error_message()));
    }
    return;
  }
  bool found = std::any_of(read.updates.begin(), read.updates.end(),
                           [&](const auto& update) { return update.id() == published.update_id; });
  if (!found) {
    stage_.violations.Add(Violation::kLost, Surface::kHome, recipient, published.update_id,
                          "read with the token of its publish");
  } else if (under_load) {
    stage_.latencies.visible.Record(answered - meant);
  }
}

void Prober::SendAgain(const PlannedPost& post, const klatch::v1::PublishUpdateRequest& request,
                       const PublishOutcome& published) {
  PublishOutcome again = client_.Publish({request}).front();
  if (again.certainty == Certainty::kDone && again.update_id != published.update_id) {
    stage_.violations.Add(Violation::kDuplicated, Surface::kPublish, post.author, again.update_id,
                          "repeated with the same request_id");
  } else if (again.certainty == Certainty::kRefused && !stage_.state.MustStop() &&
             !stage_.plan.MayLeave(post.group, post.author)) {
    stage_.violations.AddOther(
        fmt::format("a post of {} repeated with its request_id is refused: {}",
                    stage_.graph.person(post.author), again.status.error_message()));
  }
}

void Prober::SendOther(const PlannedPost& post, klatch::v1::PublishUpdateRequest request) {
  request.mutable_update()->set_text(stage_.plan.EditedTextOf(post.number));
  PublishOutcome other = client_.Publish({request}).front();
  if (stage_.state.MustStop() || other.certainty == Certainty::kUnknown) {
    return;
  }
  bool author_left = other.status.error_code() == grpc::StatusCode::PERMISSION_DENIED &&
                     stage_.plan.MayLeave(post.group, post.author);
  if (other.status.error_code() != grpc::StatusCode::ALREADY_EXISTS && !author_left) {
    stage_.violations.AddOther(
        fmt::format("another text under a used request_id of {} is not refused as ALREADY_EXISTS "
                    "but answered with {}",
                    stage_.graph.person(post.author), static_cast<int>(other.status.error_code())));
  }
}

bool Prober::Probe(uint64_t sample, const PlannedPost& post,
                   std::chrono::steady_clock::time_point meant) {
  // The sample decides who is asked, not the thread that takes it.
  Random random(Mix(seed_) ^ post.number);
  klatch::v1::PublishUpdateRequest request = MakeRequest(stage_, post);
  PublishOutcome published = client_.Publish({request}).front();
  if (published.certainty == Certainty::kDone) {
    stage_.latencies.publish.Record(std::chrono::steady_clock::now() - meant);
    LookFor(post, published, meant, random);
    if (sample % kSendAgainEvery == 0) {
      SendAgain(post, request, published);
      SendOther(post, std::move(request));
    }
  }
  Record(stage_, post, published, meant, history_);
  return published.certainty != Certainty::kRefused;
}

void Prober::TakeSample(uint64_t sample) {
  PlannedPost post = stage_.plan.At(stage_.samples.NumberOf(sample));
  auto meant = MeantFor(stage_, pace_, sample);
  for (int draw = 0; draw < kDrawsMax && !Probe(sample, post, meant) && !stage_.state.MustStop();
       ++draw) {
    post = NextPost(stage_);
    meant = std::chrono::steady_clock::now();
  }
}

void Prober::Run() {
  for (;;) {
    // A ticket; publishes nothing.
    uint64_t sample = next_.fetch_add(1, std::memory_order_relaxed);
    if (sample >= pace_.tasks() || !AwaitTurn(stage_, pace_, sample)) {
      return;
    }
    TakeSample(sample);
    pace_.Done();
  }
}

}  // namespace klatch::load
