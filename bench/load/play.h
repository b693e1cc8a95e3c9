#pragma once
// `klatch-load play`: one run from the graph to the verdict.
//
//   graph → connect → set up groups → publishers, probers, churn, drill → drained → checker →
//   report
//
// Use: one Play per run, Run once, on one thread; it starts and joins the others.

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bench/load/checker.h"
#include "bench/load/churn.h"
#include "bench/load/options.h"
#include "bench/load/player.h"
#include "bench/load/prober.h"
#include "bench/load/report.h"

namespace klatch::load {

// DESIGN "Contracts".
enum class ExitCode : int {
  kGood = 0,
  kPromiseMissed = 1,
  kUsage = 2,
  kPrerequisiteMissing = 3,
  kUnreachable = 4,
  kInterrupted = 130,
};

// The graph that the options ask for.
absl::StatusOr<std::unique_ptr<const Graph>> LoadGraph(const LoadOptions& options);

class Play {
 public:
  // All outlive it. `interrupted` is set by a signal handler.
  Play(const LoadOptions& options, const Graph& graph, const std::atomic<bool>& interrupted);

  // Prints the result on stdout, progress and what went wrong on stderr.
  ExitCode Run();

 private:
  absl::Status Connect();
  absl::Status SetUp();
  void PlayAll();
  void StartDrill(std::vector<std::thread>& threads);
  absl::Status Settle();
  void Drain();
  void Check();
  void CheckStored(const std::vector<PersonNumber>& persons);
  void ShowTimelines();
  void Report();
  ExitCode Verdict() const;
  ExitCode CutShort(const absl::Status& status);

  Target MakeTarget() const;
  uint64_t VisibleSamples(const Target& target) const;
  Client::Options ClientOptions() const;
  std::string PlayText(const Target& target) const;

  const LoadOptions& options_;
  const Graph& graph_;
  RunState state_;
  const Plan plan_;
  Model model_;
  Violations violations_;
  Latencies latencies_;
  Summary summary_;
  Circumstances more_;
  std::chrono::steady_clock::time_point first_publish_;
  // Written by the drill's thread, read after it has been joined.
  uint64_t node_kills_ = 0;
};

}  // namespace klatch::load
