#pragma once
// Measures how soon a post is visible, and checks that whoever carries its token finds it: posts
// one of the plan's samples, then reads the home timeline of a random member with the token of the
// answer. Every sixteenth post is sent a second time with the same key, and must come back as the
// same update, and a third time with the key and another text, and must be refused.
//
// A sample whose author is refused, having just left, is drawn again. Samples that are due under
// load and sent under load count; one sent when publishers have ended measures an idle node and is
// left out.
//
// Threads: each Prober belongs to one thread; results are read after it has been joined.

#include <atomic>

#include "bench/load/cast/player.h"

namespace klatch::load {

class Prober {
 public:
  // `pace` has as many tasks as there are samples and is shared by all probers, as is `next`, which
  // numbers them.
  Prober(const Stage& stage, const Client::Options& client, uint64_t seed, Pace& pace,
         std::atomic<uint64_t>& next)
      : stage_(stage), client_(client, stage.state), seed_(seed), pace_(pace), next_(next) {}

  // Takes samples until none is left.
  void Run();

  const History& history() const { return history_; }

 private:
  void TakeSample(uint64_t sample);
  // False if the post was refused because its author had left.
  bool Probe(uint64_t sample, const PlannedPost& post, std::chrono::steady_clock::time_point meant);
  void LookFor(const PlannedPost& post, const PublishOutcome& published,
               std::chrono::steady_clock::time_point meant, Random& random);
  void SendAgain(const PlannedPost& post, const klatch::v1::PublishUpdateRequest& request,
                 const PublishOutcome& published);
  void SendOther(const PlannedPost& post, klatch::v1::PublishUpdateRequest request);

  const Stage stage_;
  Client client_;
  const uint64_t seed_;
  Pace& pace_;
  std::atomic<uint64_t>& next_;
  History history_;
};

}  // namespace klatch::load
