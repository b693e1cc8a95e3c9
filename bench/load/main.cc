// klatch-load: plays a social graph against Klatch and holds what everybody sees against a model.

#include <signal.h>

#include <atomic>

#include "bench/load/calls/client.h"
#include "bench/load/cast/node_drill.h"
#include "bench/load/commands.h"
#include "bench/load/play.h"
#include "bench/load/report_commands.h"
#include "bench/load/result/result_file.h"
#include "bench/versus/options.h"
#include "bench/versus/versus.h"
#include "common/base/standard_streams.h"
#include "common/base/whole_file.h"

namespace klatch::load {
namespace {

// The one thing that a signal handler can reach.
std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void Interrupt(int) { interrupted.store(true, std::memory_order_relaxed); }

void CatchSignals() {
  struct sigaction action {};
  action.sa_handler = Interrupt;
  // Once asks for the partial result; twice ends at once.
  action.sa_flags = SA_RESETHAND;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

void IgnoreBrokenPipes() {
  struct sigaction action {};
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
}

absl::Status CheckNoWords(std::string_view command, const base::ResolvedOptions& resolved) {
  if (resolved.positionals.empty()) {
    return absl::OkStatus();
  }
  return base::Error(absl::StatusCode::kInvalidArgument,
                     fmt::format("{} takes options only, not {}", command,
                                 base::QuoteForMessage(resolved.positionals.front())));
}

// What the options say together; OK to go on.
absl::Status CheckUsage(const LoadOptions& options, const base::ResolvedOptions& resolved) {
  KLATCH_RETURN_IF_ERROR(CheckNoWords("play", resolved));
  KLATCH_RETURN_IF_ERROR(ValidateOptions(options));
  if (!options.node_restart_command.empty()) {
    KLATCH_RETURN_IF_ERROR(SplitCommand(options.node_restart_command).status());
  }
  return absl::OkStatus();
}

// What can't be kept is said before the load rather than after it.
absl::Status CheckKept(const LoadOptions& options) {
  if (!options.result.empty()) {
    KLATCH_RETURN_IF_ERROR(base::Annotate(base::CheckReplaceable(options.result), "--result"));
  }
  if (!options.hgrm.empty()) {
    KLATCH_RETURN_IF_ERROR(base::Annotate(MakeHgrmFolder(options.hgrm), "--hgrm"));
  }
  return absl::OkStatus();
}

std::map<std::string, std::string> GivenTexts(LoadOptions options,
                                              const base::ResolvedOptions& resolved) {
  return MakeOptionTable(options).GivenTexts(resolved);
}

// Writes what the options want kept. A result that was good but can't be kept is none.
ExitCode Keep(const LoadOptions& options, const Result& result, ExitCode code) {
  absl::Status kept;
  if (!options.result.empty()) {
    kept.Update(WriteResultFile(options.result, result));
  }
  if (!options.hgrm.empty()) {
    kept.Update(WriteHgrmFiles(options.hgrm, result));
  }
  if (kept.ok()) {
    return code;
  }
  Say(base::MessageOf(kept));
  return code == ExitCode::kGood ? ExitCode::kPromiseMissed : code;
}

ExitCode RunPlay(const LoadOptions& options, const base::ResolvedOptions& resolved) {
  if (absl::Status usage = CheckUsage(options, resolved); !usage.ok()) {
    return Fail(ExitCode::kUsage, base::MessageOf(usage));
  }
  if (absl::Status access = SetAccess(options.access); !access.ok()) {
    return Fail(ExitCode::kUsage, base::MessageOf(access));
  }
  if (absl::Status kept = CheckKept(options); !kept.ok()) {
    return Fail(ExitCode::kUsage, base::MessageOf(kept));
  }
  if (!options.check) {
    Say(fmt::format("seed {}, node {}", options.seed, options.target));
  }
  // --check calls nobody, so nobody need be there.
  if (!options.kill_node_at.empty() && !options.check) {
    absl::StatusOr<pid_t> node = FindNode({.pid = static_cast<pid_t>(options.node_pid),
                                           .pid_file = options.node_pid_file,
                                           .restart_command = {}});
    if (!node.ok()) {
      return Fail(ExitCode::kPrerequisiteMissing, base::MessageOf(node.status()));
    }
  }
  absl::StatusOr<std::unique_ptr<const Graph>> graph = LoadGraph(options);
  if (!graph.ok()) {
    return Fail(
        absl::IsNotFound(graph.status()) ? ExitCode::kPrerequisiteMissing : ExitCode::kUsage,
        base::MessageOf(graph.status()));
  }
  if (options.check) {
    return ExitCode::kGood;
  }
  CatchSignals();
  Play play(options, **graph, interrupted);
  const ExitCode code = play.Run();
  return Keep(options, play.result(GivenTexts(options, resolved)), code);
}

ExitCode RunVersus(const versus::VersusOptions& options, const base::ResolvedOptions& resolved) {
  if (absl::Status usage = CheckNoWords("versus", resolved); !usage.ok()) {
    return Fail(ExitCode::kUsage, base::MessageOf(usage));
  }
  CatchSignals();
  return versus::RunVersus(options, interrupted);
}

ExitCode Main(const std::vector<std::string>& words) {
  IgnoreBrokenPipes();
  Commands commands;
  commands.Add(MakeCommand<LoadOptions>(
      "play", "plays a graph against a node and checks what everybody sees", MakeOptionTable,
      RunPlay));
  commands.Add(MakeCommand<ReportOptions>("report", "makes a page with plots of results",
                                          MakeReportTable, RunReport));
  commands.Add(MakeCommand<CompareOptions>(
      "compare", "says what differs between results, and whether more than the noise",
      MakeCompareTable, RunCompare));
  commands.Add(MakeCommand<versus::VersusOptions>("versus",
                                                  "measures Klatch and its peers in the same run",
                                                  versus::MakeVersusTable, RunVersus));
  return commands.Run(words, base::ProcessEnvironment());
}

}  // namespace
}  // namespace klatch::load

int main(int argc, char** argv) {
  klatch::base::HoldStandardStreams();
  return static_cast<int>(klatch::load::Main(std::vector<std::string>(argv + 1, argv + argc)));
}
