#include "bench/load/calls/publish_batch.h"

#include <numeric>

#include "bench/load/calls/retry.h"
#include "services/model/position.h"

namespace klatch::load {
namespace {

using klatch::v1::BatchPublishResult;
using klatch::v1::PublishUpdateResponse;
using klatch::v1::Token;

}  // namespace

std::string FaultOf(const BatchPublishResult& result) {
  if (!result.has_published()) {
    return "an accepted batch has a post that is neither published nor refused";
  }
  const PublishUpdateResponse& published = result.published();
  if (published.update_id() == 0) {
    return "a post was accepted without an id";
  }
  const uint32_t home = Position(published.update_id()).shard().value();
  for (const Token& token : published.tokens()) {
    const bool fits = published.groups().empty() ? token.position() == published.update_id()
                                                 : token.position() >= published.update_id();
    if (fits && token.shard() == home && Position(token.position()).shard().value() == home) {
      return "";
    }
  }
  return "a post was accepted without a token that fits its id";
}

PublishBatch::PublishBatch(std::vector<klatch::v1::PublishUpdateRequest> requests)
    : requests_(std::move(requests)), outcomes_(requests_.size()), undecided_(requests_.size()) {
  std::iota(undecided_.begin(), undecided_.end(), size_t{0});
}

const klatch::v1::BatchPublishUpdatesRequest& PublishBatch::NextRequest() {
  batch_.Clear();
  for (size_t index : undecided_) {
    *batch_.add_requests() = requests_[index];
  }
  return batch_;
}

klatch::v1::PublishUpdateResponse* PublishBatch::single_answer() {
  answer_.Clear();
  return answer_.add_results()->mutable_published();
}

klatch::v1::BatchPublishUpdatesResponse* PublishBatch::answer() {
  answer_.Clear();
  return &answer_;
}

void PublishBatch::Decide(PublishOutcome& outcome, const BatchPublishResult& result,
                          RunState& state) const {
  outcome.fault = FaultOf(result);
  if (!outcome.fault.empty()) {
    outcome.certainty = Certainty::kUnknown;
    return;
  }
  const PublishUpdateResponse& published = result.published();
  outcome.certainty = Certainty::kDone;
  outcome.update_id = published.update_id();
  outcome.tokens.assign(published.tokens().begin(), published.tokens().end());
  outcome.groups.assign(published.groups().begin(), published.groups().end());
  for (const Token& token : published.tokens()) {
    state.watermarks.Raise(token.shard(), token.position());
  }
}

grpc::Status PublishBatch::Take(const grpc::Status& ended, RunState& state) {
  grpc::Status status = ended;
  if (status.ok() && static_cast<size_t>(answer_.results_size()) != undecided_.size()) {
    status = grpc::Status(grpc::StatusCode::INTERNAL, "a batch was answered with too few results");
  }
  std::vector<size_t> rest;
  grpc::Status worst;
  for (size_t i = 0; i < undecided_.size(); ++i) {
    PublishOutcome& outcome = outcomes_[undecided_[i]];
    outcome.status = status;
    if (status.ok() && answer_.results(static_cast<int>(i)).has_error()) {
      outcome.status = ToGrpcStatus(answer_.results(static_cast<int>(i)).error());
    }
    if (MayHelpToRetry(outcome.status)) {
      // Undecided so far; remembered in case that retries end here.
      if (MayHaveHappened(outcome.status)) {
        outcome.certainty = Certainty::kUnknown;
      }
      worst = outcome.status;
      rest.push_back(undecided_[i]);
    } else if (!outcome.status.ok()) {
      outcome.certainty = Certainty::kRefused;
    } else {
      Decide(outcome, answer_.results(static_cast<int>(i)), state);
    }
  }
  undecided_ = std::move(rest);
  return worst;
}

}  // namespace klatch::load
