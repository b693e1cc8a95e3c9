#pragma once
// Posts until the target is reached, in a closed loop: several threads, each with a connection and a
// batch under way, so that the server sets the pace and its pauses are hardly seen in latencies
// (OpenLoop is for those). Numbers of the plan that are samples are left to the probers, and
// publishers wait for what goes on beside them (Pace).
//
// Threads: each Publisher belongs to one thread; results are read after it has been joined.

#include <chrono>
#include <cstdint>
#include <vector>

#include "bench/load/calls/client.h"
#include "bench/load/calls/run_state.h"
#include "bench/load/oracle/history.h"
#include "bench/load/oracle/violations.h"
#include "bench/load/plan/operation_mix.h"
#include "bench/load/plan/plan.h"
#include "bench/load/plan/quarrels.h"
#include "bench/load/plan/samples.h"
#include "common/obs/latency_histogram.h"

namespace klatch::load {

// 0 in a field: no matter.
struct Target {
  uint64_t updates = 0;
  uint64_t deliveries = 0;
  std::chrono::nanoseconds duration{0};

  // Whether time alone decides when something is due.
  bool IsTimed() const { return duration.count() != 0; }
  // In [0, 1]; 1 when everything that is set is reached.
  double Fraction(const RunState& state) const;
  bool Reached(const RunState& state) const { return Fraction(state) >= 1.0; }
};

struct Latencies {
  obs::LatencyHistogram publish;
  obs::LatencyHistogram refused;  // what was shed
  obs::LatencyHistogram visible;
  obs::LatencyHistogram home_page;
  obs::LatencyHistogram profile_page;
  obs::LatencyHistogram group_page;
  // Of these it is worked out when the load is over.
  obs::LatencyHistogram watch;
  obs::LatencyHistogram last_member;
  obs::LatencyHistogram resume;

  // REQUIRES: it reads a page.
  obs::LatencyHistogram& PagesOf(Operation operation) {
    return operation == Operation::kHomePage      ? home_page
           : operation == Operation::kProfilePage ? profile_page
                                                  : group_page;
  }
};

// What all who take part in the load share. All by reference; they outlive the threads.
struct Stage {
  const Graph& graph;
  const Plan& plan;
  const Quarrels& quarrels;
  const QuietPersons& quiet;
  const Target& target;
  const Samples& samples;
  RunState& state;
  Latencies& latencies;
  Violations& violations;
};

// Waits until the task of `pace` is due. False if the run must stop.
bool AwaitTurn(const Stage& stage, const Pace& pace, uint64_t task);
// When it was meant to begin: of an open loop by the clock, else now.
std::chrono::steady_clock::time_point MeantFor(const Stage& stage, const Pace& pace, uint64_t task);

// The next number of the plan that is not a sample.
PlannedPost NextPost(const Stage& stage);

// A member of the group who stays throughout, is not quiet and has no quarrel, so that their pages
// can be foretold. Nobody if none is drawn.
PersonNumber FindReader(const Stage& stage, GroupNumber group, Random& random);

klatch::v1::PublishUpdateRequest MakeRequest(const Stage& stage, const PlannedPost& post);

// The group through which its members see it: of several the first that took it.
GroupNumber GroupThatTook(const Stage& stage, const PlannedPost& post,
                          const PublishOutcome& outcome);

// Takes down how one post ended that was sent, or meant to be sent, at `moment`.
void Record(const Stage& stage, const PlannedPost& post, const PublishOutcome& outcome,
            std::chrono::steady_clock::time_point moment, History& history);

// What the posts of a batch may name together, and do; one to all groups counts as many.
constexpr size_t kGroupsPerBatchMax = 1'000;
size_t GroupsNamed(const PlannedPost& post);

class Publisher {
 public:
  struct Options {
    Client::Options client;
    uint32_t batch = 50;
  };

  Publisher(const Stage& stage, const Options& options)
      : stage_(stage), options_(options), client_(options.client, stage.state) {}

  // Returns when the target is reached or the run must stop.
  void Run();

  const History& history() const { return history_; }

 private:
  void PublishNext();
  // In one call.
  void PublishAll(const std::vector<PlannedPost>& posts);
  // Until everybody beside has done what is due.
  void WaitForCompanions() const;

  const Stage stage_;
  const Options options_;
  Client client_;
  History history_;
};

}  // namespace klatch::load
