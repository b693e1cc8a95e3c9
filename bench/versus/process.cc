#include "bench/versus/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>
#include <utility>

namespace klatch::versus {
namespace {

constexpr std::chrono::milliseconds kLookAgain{5};

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) {
    pointers.push_back(text.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> PlainEnvironment() {
  std::vector<std::string> kept;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::strncmp(*variable, "KLATCH_", 7) != 0) {
      kept.emplace_back(*variable);
    }
  }
  return kept;
}

// In the child, after fork: only calls that are safe there. A group of its own, so that Ctrl-C reaches
// us alone; not a session, see docs/PERFORMANCE.md on autogroups.
[[noreturn]] void Exec(char* const* argv, char* const* environment, const char* output,
                       const char* log, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) {
    _exit(126);
  }
  setpgid(0, 0);
  dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
  dup2(open(output, O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
  dup2(open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
  close_range(3, ~0U, 0);
  execve(argv[0], argv, environment);
  _exit(127);
}

}  // namespace

absl::StatusOr<std::string> FindProgram(const std::string& program, std::string_view hint) {
  std::vector<std::string> candidates;
  if (program.find('/') != std::string::npos) {
    candidates.push_back(program);
  } else {
    const char* path = std::getenv("PATH");
    // Debian keeps servers where not everybody's PATH leads.
    std::istringstream folders(std::string(path == nullptr ? "" : path) + ":/usr/sbin");
    for (std::string folder; std::getline(folders, folder, ':');) {
      candidates.push_back((folder.empty() ? "." : folder) + "/" + program);
    }
  }
  for (const std::string& candidate : candidates) {
    if (access(candidate.c_str(), X_OK) == 0 && !std::filesystem::is_directory(candidate)) {
      return candidate;
    }
  }
  return base::Error(absl::StatusCode::kNotFound, fmt::format("{} is not here{}", program, hint));
}

double CpuSecondsOf(pid_t pid) {
  const std::string stat = ReadFile(fmt::format("/proc/{}/stat", pid));
  const size_t name_end = stat.rfind(") ");
  if (name_end == std::string::npos) {
    return 0;
  }
  // Behind the name: the state and ten more fields, then user and system time.
  std::istringstream fields(stat.substr(name_end + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) {
    fields >> skipped;
  }
  double user = 0;
  double system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

uint64_t ResidentBytesOf(pid_t pid) {
  std::istringstream statm(ReadFile(fmt::format("/proc/{}/statm", pid)));
  uint64_t all = 0;
  uint64_t resident = 0;
  statm >> all >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

uint64_t AvailableMemoryBytes() {
  std::istringstream facts(ReadFile("/proc/meminfo"));
  uint64_t kilobytes = 0;
  for (std::string word; facts >> word;) {
    if (word == "MemAvailable:") {
      facts >> kilobytes;
      break;
    }
  }
  return kilobytes << 10;
}

absl::StatusOr<std::unique_ptr<Process>> Process::Start(std::vector<std::string> argv,
                                                        const std::filesystem::path& folder,
                                                        const std::string& name) {
  std::unique_ptr<Process> process(new Process(folder / (name + ".out"), folder / (name + ".log")));
  // Of a former process of that name; whoever looks before the new one writes must not find it.
  std::error_code ignored;
  std::filesystem::remove(process->output_, ignored);
  std::filesystem::remove(process->log_, ignored);
  std::vector<std::string> environment = PlainEnvironment();
  const std::vector<char*> arguments = Pointers(argv);
  const std::vector<char*> variables = Pointers(environment);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) {
    return base::Error(absl::StatusCode::kInternal, fmt::format("cannot start {}", argv[0]));
  }
  if (pid == 0) {
    Exec(arguments.data(), variables.data(), process->output_.c_str(), process->log_.c_str(),
         parent);
  }
  process->pid_ = pid;
  return process;
}

Process::~Process() { Stop(); }

std::optional<int> Process::Ended() {
  int status = 0;
  if (!ended_.has_value() && waitpid(pid_, &status, WNOHANG) == pid_) {
    ended_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  return ended_;
}

void Process::Signal(int signal) const {
  if (pid_ != 0 && !ended_.has_value()) {
    kill(pid_, signal);
  }
}

void Process::Stop() {
  if (pid_ == 0) {
    return;
  }
  const auto deadline = std::chrono::steady_clock::now() + kStopTime;
  for (Signal(SIGTERM); !Ended().has_value(); std::this_thread::sleep_for(kLookAgain)) {
    if (std::chrono::steady_clock::now() > deadline) {
      Signal(SIGKILL);
    }
  }
}

std::string Process::Output() const { return ReadFile(output_); }

std::string Process::Log() const { return ReadFile(log_); }

std::string Process::LastLogLine() const {
  std::istringstream log(Log());
  std::string last = "(nothing)";
  for (std::string line; std::getline(log, line);) {
    last = line.empty() ? last : line;
  }
  return last;
}

}  // namespace klatch::versus
