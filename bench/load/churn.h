#pragma once
// Makes people leave and come back while others post: half of the departures by themselves, half by
// the group's owner; returns by the owner. After each departure is answered, and again before the
// return, reads sent by who has left must show nothing of the group.
//
// Threads: belongs to one thread; the history is read after it has been joined.
// Bound: at most kAwayMax are away at a time.

#include <chrono>
#include <deque>
#include <set>

#include "bench/load/player.h"

namespace klatch::load {

class Churn {
 public:
  static constexpr size_t kAwayMax = 200;

  struct Options {
    Client::Options client;
    uint32_t turns_per_second = 50;
    uint64_t seed = 0;
  };

  Churn(const Stage& stage, const Options& options)
      : stage_(stage),
        options_(options),
        client_(options.client, stage.state),
        random_(options.seed) {}

  // Until nothing is posted any more.
  void Run();

  const History& history() const { return history_; }

 private:
  struct Away {
    GroupNumber group = 0;
    PersonNumber person = 0;
    std::chrono::steady_clock::time_point back_at;
  };

  void TakeTurn();
  bool SomebodyReturns();
  void SomebodyLeaves();
  void Leave(GroupNumber group, PersonNumber person);
  void Return(const Away& away);
  void LookForLeaks(GroupNumber group, PersonNumber person);
  std::string NextRequestId();
  void Undecided(GroupNumber group, PersonNumber person);

  const Stage stage_;
  const Options options_;
  Client client_;
  Random random_;
  History history_;
  std::deque<Away> away_;
  // Away, or not to be touched again because a call about them is undecided.
  std::set<std::pair<GroupNumber, PersonNumber>> busy_;
  uint64_t calls_ = 0;
};

}  // namespace klatch::load
