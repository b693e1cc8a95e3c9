#pragma once
// Measures how soon a post is visible, and checks that whoever carries its token finds it: posts
// one update, then reads the home timeline of a random member with the token of the answer, until
// the update is there. Every sixteenth post is sent a second time with the same key and must come
// back as the same update.
//
// Samples spread evenly over the load: the k-th of n waits until k/n of the target is reached.
// Threads: each Prober belongs to one thread; results are read after it has been joined.

#include <atomic>

#include "bench/load/player.h"

namespace klatch::load {

class Prober {
 public:
  Prober(const Stage& stage, const Client::Options& client, uint64_t seed)
      : stage_(stage), client_(client, stage.state), random_(seed) {}

  // Takes samples, numbered by `next` that all probers share, up to `samples`.
  void Run(const Target& target, uint64_t samples, std::atomic<uint64_t>& next);

  const History& history() const { return history_; }

 private:
  // False if the run must stop.
  bool WaitForTurn(const Target& target, double share) const;
  void TakeSample(uint64_t sample);
  void LookFor(const PlannedPost& post, const PublishOutcome& published,
               std::chrono::steady_clock::time_point sent);
  void SendAgain(const PlannedPost& post, const klatch::v1::PublishUpdateRequest& request,
                 const PublishOutcome& published);

  const Stage stage_;
  Client client_;
  Random random_;
  History history_;
};

}  // namespace klatch::load
