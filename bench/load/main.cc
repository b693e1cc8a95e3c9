// klatch-load: plays a social graph against Klatch and holds what everybody sees against a model.

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "bench/load/node_drill.h"
#include "bench/load/play.h"
#include "common/base/standard_streams.h"

namespace klatch::load {
namespace {

constexpr char kManual[] = "manual";
constexpr int kManualSection = 1;

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

void Say(std::string_view message) {
  static_cast<void>(base::WriteAll(STDERR_FILENO, fmt::format("klatch-load: {}\n", message)));
}

int Fail(ExitCode code, std::string_view message) {
  Say(message);
  return static_cast<int>(code);
}

// A result that nobody can read is no good end.
int Print(std::string_view text) {
  return static_cast<int>(base::PrintResult("klatch-load", text) ? ExitCode::kGood
                                                                 : ExitCode::kPromiseMissed);
}

std::string NoCommand(const std::vector<std::string>& words) {
  if (words.empty()) {
    return "say what to do: klatch-load play [options]; --help tells the options";
  }
  return words.front() == kManual
             ? "manual stands alone"
             : fmt::format("\"{}\" is no command; did you mean play?", words.back());
}

// The command and what the options say together; OK to go on.
absl::Status CheckUsage(const LoadOptions& options, const base::ResolvedOptions& resolved) {
  if (resolved.positionals != std::vector<std::string>{"play"}) {
    return base::Error(absl::StatusCode::kInvalidArgument, NoCommand(resolved.positionals));
  }
  KLATCH_RETURN_IF_ERROR(ValidateOptions(options));
  if (!options.node_restart_command.empty()) {
    KLATCH_RETURN_IF_ERROR(SplitCommand(options.node_restart_command).status());
  }
  return absl::OkStatus();
}

int PlayWith(const LoadOptions& options) {
  Say(fmt::format("seed {}, node {}", options.seed, options.target));
  if (!options.kill_node_at.empty()) {
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
  CatchSignals();
  Play play(options, **graph, interrupted);
  return static_cast<int>(play.Run());
}

int Main(const std::vector<std::string>& arguments) {
  IgnoreBrokenPipes();
  LoadOptions options;
  base::OptionTable table = MakeOptionTable(options);
  // As of --help, nothing else is looked at.
  if (arguments == std::vector<std::string>{kManual}) {
    return Print(table.Manual(kManualSection));
  }
  absl::StatusOr<base::ResolvedOptions> resolved =
      table.Resolve(arguments, base::ProcessEnvironment(), base::Positionals::kCollect);
  if (!resolved.ok()) {
    return Fail(ExitCode::kUsage, base::MessageOf(resolved.status()));
  }
  switch (resolved->action) {
    case base::ResolvedOptions::Action::kShowHelp:
      return Print(table.Help());
    case base::ResolvedOptions::Action::kShowVersion:
      return Print(table.Version());
    case base::ResolvedOptions::Action::kRun:
      break;
  }
  if (absl::Status usage = CheckUsage(options, *resolved); !usage.ok()) {
    return Fail(ExitCode::kUsage, base::MessageOf(usage));
  }
  return PlayWith(options);
}

}  // namespace
}  // namespace klatch::load

int main(int argc, char** argv) {
  klatch::base::HoldStandardStreams();
  return klatch::load::Main(std::vector<std::string>(argv + 1, argv + argc));
}
