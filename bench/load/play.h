#pragma once
// `klatch-load play`: one run from the graph to the verdict.
//
//   graph → connect → set up groups → the load (Cast) → drained → Redis → checker → report
//
// Use: one Play per run, Run once, on one thread; it starts and joins the others.

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench/load/cast/cast.h"
#include "bench/load/exit_code.h"
#include "bench/load/options.h"
#include "bench/load/oracle/checker.h"
#include "bench/load/result/report.h"
#include "bench/load/run_result.h"
#include "bench/load/sampler.h"

namespace klatch::load {

// The graph that the options ask for.
absl::StatusOr<std::unique_ptr<const Graph>> LoadGraph(const LoadOptions& options);

class Play {
 public:
  // All outlive it. `interrupted` is set by a signal handler.
  Play(const LoadOptions& options, const Graph& graph, const std::atomic<bool>& interrupted);

  // Prints the result on stdout, progress and what went wrong on stderr.
  ExitCode Run();

  // What came out. REQUIRES: Run has returned.
  const Summary& summary() const { return summary_; }
  const Circumstances& circumstances() const { return more_; }
  const Latencies& latencies() const { return latencies_; }
  // The whole of it. `given`: the options that are not at their defaults.
  Result result(const std::map<std::string, std::string>& given) const;

 private:
  absl::Status Connect();
  absl::Status SetUp();
  void PlayAll();
  void MeasureRates();
  absl::Status Settle();
  // Who plays, up to the moment before the first post.
  absl::Status Gather();
  void Drain();
  void Check();
  void CheckStored();
  void CheckApi();
  void CheckHttp();
  void CheckWatches();
  // Whether the load was what the programme promised.
  void CheckProgramme();
  void ShowTimelines();
  void Report();
  ExitCode Verdict() const;
  ExitCode CutShort(const absl::Status& status);

  void Print(std::string_view text);
  Client::Options ClientOptions() const;
  std::string PlayText() const;

  const LoadOptions& options_;
  const Graph& graph_;
  RunState state_;
  const Plan plan_;
  const Quarrels quarrels_;
  const QuietPersons quiet_;
  const OperationMix mix_;
  const Programme programme_;
  const Samples samples_;
  Model model_;
  Violations violations_;
  Latencies latencies_;
  Summary summary_;
  Circumstances more_;
  const Stage stage_;
  std::unique_ptr<Watchers> watchers_;  // null: nobody watches
  std::unique_ptr<Cast> cast_;
  Sampler sampler_;
  RunFacts facts_;
  std::vector<Series> series_;
  std::chrono::steady_clock::time_point first_publish_;
  std::vector<Refusal> refusals_;
  // The result could not be written.
  bool unprinted_ = false;
};

}  // namespace klatch::load
