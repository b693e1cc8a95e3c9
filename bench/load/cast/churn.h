#pragma once
// Makes people leave and come back while others post: half of the departures by themselves, half by
// the group's owner; returns by the owner, 50 to 300 ms later. One of four leaves for good, so that
// the check at the end always has some to whom nothing may be shown. Who leaves has looked at the
// group before. After the departure is answered, and again before the return, what they had seen
// must be gone on every path: home, group and profile timelines and single updates. A read that
// fails where it should answer counts as a fault.
//
// Threads: each Churn belongs to one thread and moves the groups whose number leaves `index` when
// divided by `threads`; the history is read after it has been joined.
// Bound: at most kAwayMax are away at a time.

#include <chrono>
#include <map>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "bench/load/cast/player.h"

namespace klatch::load {

class Churn {
 public:
  static constexpr size_t kAwayMax = 32;

  struct Options {
    Client::Options client;
    uint32_t index = 0;
    uint32_t threads = 1;
    uint64_t seed = 0;
  };

  // A task of `pace` is one departure or one return.
  Churn(const Stage& stage, const Options& options, Pace& pace);

  // Until all tasks are done.
  void Run();

  const History& history() const { return history_; }

 private:
  struct Seen {
    uint64_t update = 0;
    std::string author;
  };
  struct Away {
    GroupNumber group = 0;
    PersonNumber person = 0;
    std::chrono::steady_clock::time_point back_at;
    std::vector<Seen> seen;

    bool operator>(const Away& other) const { return back_at > other.back_at; }
  };

  void TakeTurn();
  void SomebodyReturns();
  // False if nobody was found who may.
  bool SomebodyLeaves();
  void Leave(GroupNumber group, PersonNumber person);
  void Return(const Away& away);
  // A few of the group's updates that the person sees now.
  std::vector<Seen> LookAround(GroupNumber group, PersonNumber person);
  bool StaysAway();
  void LookForLeaks(const Away& away);
  bool IsOf(const klatch::v1::Update& update, GroupNumber group) const;
  void JudgePage(const Away& away, const TimelineRead& read, Surface surface);
  void JudgeSingle(const Away& away, uint64_t update);
  std::string NextRequestId();
  // From here on the model does not judge this membership.
  void NotJudged(GroupNumber group, PersonNumber person);
  void CouldNot(std::string_view what, GroupNumber group, PersonNumber person,
                std::string_view why);

  const Stage stage_;
  const Options options_;
  Pace& pace_;
  const size_t away_max_;
  Client client_;
  Random random_;
  History history_;
  // Who is due back first is on top.
  std::priority_queue<Away, std::vector<Away>, std::greater<>> away_;
  // Away, or not to be touched again because a call about them is undecided.
  std::set<std::pair<GroupNumber, PersonNumber>> busy_;
  // Of who came back: the return. At most one per membership.
  std::map<std::pair<GroupNumber, PersonNumber>, klatch::v1::Token> back_;
  uint64_t calls_ = 0;
  uint64_t departures_ = 0;
};

}  // namespace klatch::load
