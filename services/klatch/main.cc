// klatch: posts to groups and reads timelines from a shell. What is printed is in print.h, what is
// asked for in command_line.h.

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "common/base/standard_streams.h"
#include "common/base/status.h"
#include "services/klatch/command_line.h"

namespace {

using klatch::cli::CommandResult;

// Set by the first Ctrl-C during `import`, which heeds it between calls; the second one ends the
// process.
std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "it is written by a signal handler");

// It was SIGTERM: the end that a service is given.
std::atomic<bool> terminated{false};

extern "C" void OnTerminate(int) {
  terminated.store(true, std::memory_order_relaxed);
  interrupted.store(true, std::memory_order_relaxed);
}

extern "C" void OnInterrupt(int) {
  // relaxed: a flag on its own, nothing is published with it.
  interrupted.store(true, std::memory_order_relaxed);
}

// From here on Ctrl-C asks for the partial result; before, and in commands that have none, it ends
// the process as it ends any. Where whoever started us ignores it, so do we.
void HeedInterrupts() {
  struct sigaction action = {};
  sigaction(SIGINT, nullptr, &action);
  if (action.sa_handler == SIG_IGN) {
    return;
  }
  action.sa_handler = OnInterrupt;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigaction(SIGINT, &action, nullptr);
}

void HeedTermination() {
  struct sigaction action = {};
  action.sa_handler = OnTerminate;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigaction(SIGTERM, &action, nullptr);
}

klatch::cli::Screen ScreenOf(int fd) {
  klatch::cli::Screen screen;
  if (isatty(fd) == 0) {
    return screen;
  }
  winsize size = {};
  if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    screen.width = std::max<int>(size.ws_col, 20);
  }
  const char* no_colour = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  const bool plain = (no_colour != nullptr && *no_colour != '\0') ||
                     (terminal != nullptr && std::strcmp(terminal, "dumb") == 0);
  screen.colour = plain ? klatch::cli::Colour::kOff : klatch::cli::Colour::kOn;
  return screen;
}

int Finish(const CommandResult& result) {
  const bool printed = klatch::base::PrintResult("klatch", result.out);
  static_cast<void>(klatch::base::WriteAll(STDERR_FILENO, result.err));
  return printed ? result.exit_code : klatch::cli::kExitRefused;
}

CommandResult Execute(const std::vector<std::string>& arguments) {
  klatch::cli::CommandLine line(interrupted,
                                [](const char* name) -> const char* { return std::getenv(name); });
  if (auto done = line.Parse(arguments)) {
    return *done;
  }
  if (absl::Status status = line.Prepare(); !status.ok()) {
    const std::string message = klatch::base::MessageOf(status);
    return {klatch::cli::kExitUsage, "", fmt::format("klatch: {}\n", message)};
  }
  const auto client = klatch::cli::Client::Open(line.client_options());
  if (!client.ok()) {
    return klatch::cli::Failure(client.status());
  }
  if (absl::Status status = (*client)->Connect(); !status.ok()) {
    return klatch::cli::Failure(status);
  }
  const klatch::cli::Session session{**client,
                                     line.name_space(),
                                     line.actor(),
                                     line.format(),
                                     ScreenOf(STDOUT_FILENO),
                                     std::chrono::system_clock::now(),
                                     ScreenOf(STDERR_FILENO)};
  if (line.has_partial_result()) {
    HeedInterrupts();
  }
  if (line.is_service()) {
    HeedTermination();
  }
  CommandResult result = line.Run(session);
  if (result.exit_code == klatch::cli::kExitInterrupted &&
      terminated.load(std::memory_order_relaxed)) {
    result.exit_code = klatch::cli::kExitGood;
  }
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  klatch::base::HoldStandardStreams();
  std::signal(SIGPIPE, SIG_IGN);
  return Finish(Execute(std::vector<std::string>(argv + 1, argv + argc)));
}
