// klatch: posts to groups and reads timelines from a shell. What is printed is in print.h, what is
// asked for in command_line.h.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "services/klatch/command_line.h"

namespace {

using klatch::cli::CommandResult;

// Set by the first Ctrl-C, which `import` heeds between calls; the second one ends the process.
std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "it is written by a signal handler");

extern "C" void OnInterrupt(int) {
  // relaxed: a flag on its own, nothing is published with it.
  interrupted.store(true, std::memory_order_relaxed);
}

// A standard stream that came in closed would be given to the first socket, and results would be
// written into it.
void HoldStandardStreams() {
  int fd = 0;
  do {
    fd = open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd > STDERR_FILENO) {
    close(fd);
  }
}

void HandleSignals() {
  std::signal(SIGPIPE, SIG_IGN);
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
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

// 0, or the errno of the failed write.
int WriteAll(int fd, const std::string& text) {
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t n = write(fd, text.data() + written, text.size() - written);
    if (n >= 0) {
      written += static_cast<size_t>(n);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

// Prints the result. A reader that went away (| head) has seen enough: that is no error.
int Finish(const CommandResult& result) {
  const int error = WriteAll(STDOUT_FILENO, result.out);
  (void)WriteAll(STDERR_FILENO, result.err);
  if (error != 0 && error != EPIPE) {
    (void)WriteAll(STDERR_FILENO,
                   fmt::format("klatch: can't write the result: {}\n", std::strerror(error)));
    return klatch::cli::kExitRefused;
  }
  return result.exit_code;
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
  klatch::cli::Client client(line.client_options());
  if (absl::Status status = client.Connect(); !status.ok()) {
    return klatch::cli::Failure(status);
  }
  const klatch::cli::Session session{
      client,        line.name_space(),       line.actor(),
      line.format(), ScreenOf(STDOUT_FILENO), std::chrono::system_clock::now()};
  return line.Run(session);
}

}  // namespace

int main(int argc, char** argv) {
  HoldStandardStreams();
  HandleSignals();
  return Finish(Execute(std::vector<std::string>(argv + 1, argv + argc)));
}
