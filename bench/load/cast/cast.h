#pragma once
// Everybody who takes part in the load, with a thread and a connection each: publishers, probers,
// those who come and go, who edits and deletes, who quarrels, and the drills that befall the node.
//
// Use: one Cast per run; Run once, on one thread; then take the histories. All references outlive
// it.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "bench/load/cast/churn.h"
#include "bench/load/cast/flipper.h"
#include "bench/load/cast/node_drill.h"
#include "bench/load/cast/open_loop.h"
#include "bench/load/cast/player.h"
#include "bench/load/cast/prober.h"
#include "bench/load/cast/quarreller.h"
#include "bench/load/cast/reviser.h"
#include "bench/load/cast/watchers.h"
#include "bench/load/options.h"

namespace klatch::load {

// What a load of this target and graph has beside the posts.
struct Programme {
  Target target;
  // Of an open loop.
  ArrivalPlan arrivals = {.kind = ArrivalKind::kClosedLoop};
  OperationMix mix;
  // About how many posts the target needs.
  uint64_t posts = 0;
  uint64_t samples = 0;
  uint64_t departures = 0;
  uint64_t revisions = 0;
  uint64_t quarrels = 0;
  // At least so many must have happened, or the run has not shown what it should.
  uint64_t departures_min = 0;
  uint64_t returns_min = 0;
};

Programme MakeProgramme(const LoadOptions& options, const OperationMix& mix, const Graph& graph,
                        const Plan& plan, const Quarrels& quarrels);

class Cast {
 public:
  // `watchers` may be null: nobody watches.
  Cast(const LoadOptions& options, const Client::Options& client, const Stage& stage,
       const Programme& programme, Watchers* watchers);

  // Of the open loop's schedule.
  static uint64_t ArrivalSeed(const LoadOptions& options);

  // Before Run: undoes what a former run's quarrels have left.
  absl::Status ClearLeftovers();

  // Returns when everybody is done, or the run must stop. REQUIRES: the state's `start` is now.
  void Run();

  // In any order.
  void ForEachHistory(const std::function<void(const History&)>& take) const;
  uint64_t node_kills() const { return node_kills_; }
  // From the start to the last answer of those who publish.
  double publishing_seconds() const { return publishing_seconds_; }
  // See Flipper.
  uint64_t flips() const { return flipper_ == nullptr ? 0 : flipper_->flips(); }

 private:
  void PublishInClosedLoop();
  void MakeChurns();
  void MakeQuarreller();
  void MakeFlipper();
  // Waits until this part of the load is done. False: it is none, or the run must stop.
  bool AwaitPart(const std::string& percent) const;
  NodeDrillOptions Node() const;
  void Kill();
  void Pause();
  void Storm();

  const LoadOptions& options_;
  const Client::Options client_;
  const Stage stage_;
  const Programme programme_;
  std::atomic<uint64_t> next_sample_{0};
  std::vector<std::unique_ptr<Prober>> probers_;
  std::vector<std::unique_ptr<Churn>> churns_;
  std::unique_ptr<Reviser> reviser_;
  std::unique_ptr<Quarreller> quarreller_;
  std::unique_ptr<Flipper> flipper_;
  Watchers* const watchers_;
  Pace* drop_pace_ = nullptr;  // the watchers', if any are dropped
  // One or the other.
  std::vector<std::unique_ptr<Publisher>> publishers_;
  std::unique_ptr<OpenLoop> open_loop_;
  // Written by the drill's thread, read after it has been joined.
  uint64_t node_kills_ = 0;
  double publishing_seconds_ = 0;
};

}  // namespace klatch::load
