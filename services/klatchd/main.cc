// klatchd: one node of Klatch. Reads its options, opens Redis, starts the stages, serves until it
// is told to stop.

#include <absl/synchronization/mutex.h>
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/core_dumps.h"
#include "common/base/standard_streams.h"
#include "common/base/version.h"
#include "common/obs/log.h"
#include "services/klatchd/access.h"
#include "services/klatchd/lifecycle.h"
#include "services/klatchd/options.h"
#include "services/klatchd/redis_access.h"

namespace klatch {
namespace {

// Exit codes of DESIGN section 9.
constexpr int kExitGood = 0;
constexpr int kExitMissed = 1;
constexpr int kExitUsage = 2;

// None of them throws where a stream takes nothing more, as fmt::print does.
void Say(std::string_view message) {
  static_cast<void>(base::WriteAll(STDERR_FILENO, fmt::format("klatchd: {}\n", message)));
}
// These return the exit code.
int Complain(const absl::Status& status) {
  Say(base::MessageOf(status));
  return kExitUsage;
}
int Print(std::string_view result) {
  return base::PrintResult("klatchd", result) ? kExitGood : kExitMissed;
}

// Signals are taken by the lifecycle's thread alone, never in a handler.
void BlockSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

int Serve(const KlatchdOptions& options, const std::vector<std::string>& warnings) {
  obs::SetLogLevel(options.log_level);
  // The distribution builds Abseil with its search for cycles among locks, which gRPC's go through: a twelfth of a
  // page's processor time, and what it takes for one would end the process.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  for (const std::string& warning : warnings) {
    obs::Log(obs::Level::kWarn, "options", warning, {});
  }
  if (!options.core_dumps) {
    if (const absl::Status kept = base::KeepMemoryOutOfCoreDumps(); !kept.ok()) {
      obs::Log(obs::Level::kWarn, "klatchd", "core dumps may hold what people have posted",
               {{"error", base::MessageOf(kept)}});
    }
  }
  BlockSignals();
  return RunToCompletion(options);
}

int Main(const std::vector<std::string>& arguments) {
  KlatchdOptions options;
  base::OptionTable table = MakeKlatchdOptionTable(options, base::kVersion);
  auto resolved = table.Resolve(arguments, base::ProcessEnvironment());
  if (!resolved.ok()) {
    return Complain(resolved.status());
  }
  if (resolved->action == base::ResolvedOptions::Action::kShowHelp) {
    return Print(table.Help());
  }
  if (resolved->action == base::ResolvedOptions::Action::kShowVersion) {
    return Print(table.Version());
  }
  const absl::Status valid = Validate(options);
  if (valid.ok() && !options.print_config && !options.check_config) {
    return Serve(options, resolved->warnings);
  }
  // A mistyped variable may be why the options are wrong.
  for (const std::string& warning : resolved->warnings) {
    Say(warning);
  }
  if (!valid.ok()) {
    return Complain(valid);
  }
  if (options.check_config) {
    if (const absl::Status redis = CheckRedisTls(options); !redis.ok()) {
      return Complain(redis);
    }
    const base::SystemClock clock;
    if (const absl::Status access = OpenAccess(options, clock).status(); !access.ok()) {
      return Complain(access);
    }
  }
  return Print(options.print_config ? table.Describe(*resolved) : "configuration is good\n");
}

}  // namespace
}  // namespace klatch

int main(int argc, char** argv) {
  klatch::base::HoldStandardStreams();
  std::signal(SIGPIPE, SIG_IGN);
  return klatch::Main(std::vector<std::string>(argv + 1, argv + argc));
}
