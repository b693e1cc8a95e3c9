#pragma once
// Makes people block, mute and hide each other's posts while others post, and holds the service to it:
// an opponent posts, the other sees it on every path; then wants it no more (a block by one or the
// other, a mute of the person or of the group, or the update hidden, by turns), and from the answer on
// no path that this concerns may show it, nor what is posted meanwhile; then takes it back, and all of
// it is there again.
//
// Whatever comes of a turn, it is undone at its end. What a run that was killed has left is undone
// before the load.
//
// Threads: belongs to one thread; the history is read after it has been joined.

#include <string_view>

#include "bench/load/calls/personal_client.h"
#include "bench/load/cast/onlooker.h"
#include "bench/load/cast/player.h"

namespace klatch::load {

class Quarreller {
 public:
  // A task of `pace` is one quarrel from its beginning to its end.
  Quarreller(const Stage& stage, const Client::Options& client, Pace& pace)
      : stage_(stage),
        client_(client, stage.state),
        personal_(client, stage.state),
        onlooker_(stage, client_),
        pace_(pace) {}

  // Before the load. The first call that fails.
  absl::Status ClearLeftovers();

  void Run();

  const History& history() const { return history_; }

 private:
  enum class Kind { kBlock, kBlockedBy, kMutePerson, kMuteGroup, kHide };
  struct Posted {
    uint64_t update = 0;
    std::string text;
    std::vector<klatch::v1::Token> tokens;
  };

  void TakeTurn(uint64_t turn);
  void LiveThrough(const Quarrel& quarrel, Kind kind, const Posted& before);
  // Nothing if the post did not go through.
  std::optional<Posted> Post(const Quarrel& quarrel);
  void Look(const Quarrel& quarrel, const Posted& posted, const ShownOn& expected,
            std::string_view when);
  bool Change(const Quarrel& quarrel, Kind kind, const Posted& posted, PersonalClient::Wish wish);
  static ShownOn WhileItLasts(Kind kind);

  const Stage stage_;
  Client client_;
  PersonalClient personal_;
  Onlooker onlooker_;
  Pace& pace_;
  History history_;
};

}  // namespace klatch::load
