#pragma once
// Posts that go in one call, and in as many more as it takes until each is decided: every try holds
// what is still undecided. One post goes as a PublishUpdate, several as a BatchPublishUpdates.
//
//   PublishBatch batch(requests);
//   status = batch.IsSingle() ? Publish(batch.single(), batch.single_answer())
//                             : PublishAll(batch.NextRequest(), batch.answer());
//   worst = batch.Take(status, state);     // OK: all are decided
//
// Thread safety: one thread at a time.

#include <grpcpp/support/status.h>

#include <string>
#include <vector>

#include "bench/load/calls/run_state.h"
#include "klatch/v1/feed_service.pb.h"

namespace klatch::load {

enum class Certainty { kDone, kRefused, kUnknown };

struct PublishOutcome {
  Certainty certainty = Certainty::kRefused;
  uint64_t update_id = 0;
  std::vector<klatch::v1::Token> tokens;
  // Of a post to several groups.
  std::vector<klatch::v1::GroupResult> groups;
  grpc::Status status;
  // Not empty: the answer said OK, and what was wrong with it. The outcome is kUnknown then.
  std::string fault;
};

// What is wrong with an answer that says that an update was published: no result, no id, or no token
// that is the id's or, of several groups, of a carry behind it. Nothing if it can be believed.
std::string FaultOf(const klatch::v1::BatchPublishResult& result);

class PublishBatch {
 public:
  // At least one, at most 100.
  explicit PublishBatch(std::vector<klatch::v1::PublishUpdateRequest> requests);

  size_t size() const { return undecided_.size(); }
  bool IsSingle() const { return size() == 1; }
  const klatch::v1::PublishUpdateRequest& request(size_t i) const {
    return requests_[undecided_[i]];
  }
  const klatch::v1::PublishUpdateRequest& single() const { return requests_[undecided_.front()]; }
  const klatch::v1::BatchPublishUpdatesRequest& NextRequest();

  // For one try; made empty.
  klatch::v1::PublishUpdateResponse* single_answer();
  klatch::v1::BatchPublishUpdatesResponse* answer();

  // What a try that ended with `status` has decided: refusals that no retry can help are final.
  // Returns the status to try again for; OK if nothing is left. Tokens go to `state`.
  grpc::Status Take(const grpc::Status& status, RunState& state);

  // In the order of the requests.
  const std::vector<PublishOutcome>& outcomes() const { return outcomes_; }
  std::vector<PublishOutcome> TakeOutcomes() { return std::move(outcomes_); }

 private:
  void Decide(PublishOutcome& outcome, const klatch::v1::BatchPublishResult& result,
              RunState& state) const;

  const std::vector<klatch::v1::PublishUpdateRequest> requests_;
  std::vector<PublishOutcome> outcomes_;
  std::vector<size_t> undecided_;
  klatch::v1::BatchPublishUpdatesRequest batch_;
  klatch::v1::BatchPublishUpdatesResponse answer_;
};

}  // namespace klatch::load
