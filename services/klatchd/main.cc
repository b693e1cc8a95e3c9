// klatchd: one node of Klatch. Reads its options, opens Redis, starts the stages, serves until it
// is told to stop.

#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

#include "common/base/endpoint.h"
#include "common/obs/log.h"
#include "services/klatchd/lifecycle.h"
#include "services/klatchd/options.h"

namespace klatch {
namespace {

constexpr char kVersion[] = "0.1.0";

// Exit codes of DESIGN section 9.
constexpr int kExitGood = 0;
constexpr int kExitUsage = 2;

int Complain(const absl::Status& status) {
  fmt::print(stderr, "klatchd: {}\n", base::MessageOf(status));
  return kExitUsage;
}

// Signals are taken by the lifecycle's thread alone, never in a handler.
void BlockSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

int Main(const std::vector<std::string>& arguments) {
  KlatchdOptions options;
  base::OptionTable table = MakeKlatchdOptionTable(options, kVersion);
  auto resolved = table.Resolve(arguments, base::ProcessEnvironment());
  if (!resolved.ok()) {
    return Complain(resolved.status());
  }
  if (resolved->action == base::ResolvedOptions::Action::kShowHelp) {
    fmt::print("{}", table.Help());
    return kExitGood;
  }
  if (resolved->action == base::ResolvedOptions::Action::kShowVersion) {
    fmt::print("{}", table.Version());
    return kExitGood;
  }
  absl::Status valid = Validate(options);
  if (!valid.ok()) {
    return Complain(valid);
  }
  if (options.print_config) {
    fmt::print("{}", table.Describe(*resolved));
    return kExitGood;
  }
  if (options.check_config) {
    fmt::print("configuration is good\n");
    return kExitGood;
  }
  obs::SetLogLevel(options.log_level);
  for (const std::string& warning : resolved->warnings) {
    obs::Log(obs::Level::kWarn, "options", warning, {});
  }
  BlockSignals();
  return RunToCompletion(options);
}

}  // namespace
}  // namespace klatch

int main(int argc, char** argv) {
  return klatch::Main(std::vector<std::string>(argv + 1, argv + argc));
}
