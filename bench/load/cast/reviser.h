#pragma once
// Edits and deletes posts while others post, and holds the service to its barriers: posts as an
// author who stays, sees the post on every path (home, group and profile timelines, single update)
// as a member who stays, then edits or deletes it by turns. After the answer no path may show what
// was taken away.
//
// Threads: belongs to one thread; the history is read after it has been joined.

#include <string_view>

#include "bench/load/cast/onlooker.h"
#include "bench/load/cast/player.h"

namespace klatch::load {

class Reviser {
 public:
  // A task of `pace` is one edit or one deletion.
  Reviser(const Stage& stage, const Client::Options& client, uint64_t seed, Pace& pace)
      : stage_(stage),
        client_(client, stage.state),
        onlooker_(stage, client_),
        random_(seed),
        pace_(pace) {}

  void Run();

  const History& history() const { return history_; }

 private:
  // As somebody who stays and has no quarrel.
  void LookEverywhere(const PlannedPost& post, uint64_t id, const ShownOn& expected,
                      std::string_view text, std::span<const klatch::v1::Token> tokens,
                      std::string_view when);
  void TakeTurn(uint64_t turn);
  Fate Edit(const PlannedPost& post, uint64_t id);
  Fate Delete(const PlannedPost& post, uint64_t id);
  // Counts and reports a call that did not go through.
  void CouldNot(std::string_view what, const PlannedPost& post, Certainty certainty,
                const grpc::Status& status);

  const Stage stage_;
  Client client_;
  Onlooker onlooker_;
  Random random_;
  Pace& pace_;
  History history_;
};

}  // namespace klatch::load
