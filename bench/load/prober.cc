#include "bench/load/prober.h"

#include <algorithm>
#include <thread>

namespace klatch::load {
namespace {

constexpr int kPageSize = 50;
constexpr uint64_t kSendAgainEvery = 16;

}  // namespace

bool Prober::WaitForTurn(const Target& target, double share) const {
  while (!stage_.state.MustStop()) {
    if (stage_.state.publishing_done.load(std::memory_order_relaxed) ||
        target.Fraction(stage_.state) >= share) {
      return true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

void Prober::LookFor(const PlannedPost& post, const PublishOutcome& published,
                     std::chrono::steady_clock::time_point sent) {
  PersonNumber recipient = stage_.plan.StayingMember(post.group, random_);
  TimelineRead read = client_.ReadHome(stage_.graph.person(recipient), published.tokens,
                                       {.page_size = kPageSize, .down_to = published.update_id});
  auto answered = std::chrono::steady_clock::now();
  if (!read.ok()) {
    return;  // unreachable; the check after the load decides
  }
  bool found = std::any_of(read.updates.begin(), read.updates.end(),
                           [&](const auto& update) { return update.id() == published.update_id; });
  if (found) {
    stage_.latencies.visible.Record(answered - sent);
  } else {
    stage_.violations.Add(Violation::kLost, recipient, published.update_id,
                          "home timeline read with the token of its publish");
  }
}

void Prober::SendAgain(const PlannedPost& post, const klatch::v1::PublishUpdateRequest& request,
                       const PublishOutcome& published) {
  PublishOutcome again = client_.Publish({request}).front();
  if (again.certainty == Certainty::kDone && again.update_id != published.update_id) {
    stage_.violations.Add(Violation::kDuplicated, post.author, again.update_id,
                          "publish repeated with the same request_id");
  }
}

void Prober::TakeSample(uint64_t sample) {
  PlannedPost post = stage_.plan.At(stage_.state.next_post.fetch_add(1, std::memory_order_relaxed));
  klatch::v1::PublishUpdateRequest request = MakeRequest(stage_, post);
  auto sent = std::chrono::steady_clock::now();
  PublishOutcome published = client_.Publish({request}).front();
  if (published.certainty == Certainty::kDone) {
    stage_.latencies.publish.Record(std::chrono::steady_clock::now() - sent);
    LookFor(post, published, sent);
    if (sample % kSendAgainEvery == 0) {
      SendAgain(post, request, published);
    }
  }
  Record(stage_, post, published, history_);
}

void Prober::Run(const Target& target, uint64_t samples, std::atomic<uint64_t>& next) {
  for (;;) {
    // A ticket; publishes nothing.
    uint64_t sample = next.fetch_add(1, std::memory_order_relaxed);
    double share = static_cast<double>(sample) / static_cast<double>(samples);
    if (sample >= samples || !WaitForTurn(target, share)) {
      return;
    }
    TakeSample(sample);
  }
}

}  // namespace klatch::load
