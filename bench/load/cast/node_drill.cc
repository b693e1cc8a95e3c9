#include "bench/load/cast/node_drill.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

namespace klatch::load {
namespace {

// Whether any thread of the process is left but the first.
bool HasOtherThreads(pid_t pid) {
  std::error_code error;
  const std::filesystem::directory_iterator threads(fmt::format("/proc/{}/task", pid), error);
  return !error && std::distance(begin(threads), end(threads)) > 1;
}

// Whether a process runs under this id; one that ended and waits for its parent does not. The first
// thread of one that was killed may have ended while others are still ending, and until they have,
// its files are open: its port is taken, and its data directory locked.
bool Runs(pid_t pid) {
  std::ifstream stat(fmt::format("/proc/{}/stat", pid));
  std::string line;
  if (!std::getline(stat, line)) {
    return false;
  }
  // The state stands behind the name, which is in parentheses and may hold any.
  size_t name_end = line.rfind(") ");
  if (name_end == std::string::npos) {
    return false;
  }
  const char state = line[name_end + 2];
  return (state != 'Z' && state != 'X') || HasOtherThreads(pid);
}

class Splitter {
 public:
  explicit Splitter(std::string_view line) : line_(line) {}

  absl::StatusOr<std::vector<std::string>> Split() {
    for (; at_ < line_.size(); ++at_) {
      Take(line_[at_]);
    }
    if (quote_ != '\0') {
      return base::Error(absl::StatusCode::kInvalidArgument,
                         fmt::format("a {} is not closed in: {}", quote_, line_));
    }
    EndWord();
    if (words_.empty()) {
      return base::Error(absl::StatusCode::kInvalidArgument, "the command is empty");
    }
    return std::move(words_);
  }

 private:
  void Take(char c) {
    bool escapes = c == '\\' && quote_ != '\'' && at_ + 1 < line_.size();
    if (escapes) {
      Add(line_[++at_]);
    } else if (quote_ != '\0') {
      if (c == quote_) {
        quote_ = '\0';
      } else {
        Add(c);
      }
    } else if (c == '\'' || c == '"') {
      quote_ = c;
      in_word_ = true;  // '' is a word, an empty one
    } else if (c == ' ' || c == '\t' || c == '\n') {
      EndWord();
    } else {
      Add(c);
    }
  }
  void Add(char c) {
    word_ += c;
    in_word_ = true;
  }
  void EndWord() {
    if (in_word_) {
      words_.push_back(std::move(word_));
    }
    word_.clear();
    in_word_ = false;
  }

  std::string_view line_;
  size_t at_ = 0;
  char quote_ = '\0';
  bool in_word_ = false;
  std::string word_;
  std::vector<std::string> words_;
};

absl::StatusOr<pid_t> Start(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const std::string& word : command) {
    arguments.push_back(const_cast<char*>(word.c_str()));  // posix_spawn does not write to them
  }
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  // Our standard output is the result's alone.
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  pid_t pid = 0;
  int error = posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return base::Error(absl::StatusCode::kNotFound,
                       fmt::format("can't start {}: {}", command[0], std::strerror(error)));
  }
  return pid;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> SplitCommand(std::string_view line) {
  return Splitter(line).Split();
}

absl::StatusOr<pid_t> FindNode(const NodeDrillOptions& options) {
  pid_t pid = options.pid;
  if (pid == 0) {
    std::ifstream file(options.pid_file);
    if (!(file >> pid) || pid <= 1) {
      return base::Error(absl::StatusCode::kNotFound,
                         fmt::format("{} names no process", options.pid_file));
    }
  }
  if (!Runs(pid)) {
    return base::Error(absl::StatusCode::kNotFound, fmt::format("no process {} runs", pid));
  }
  return pid;
}

absl::Status PauseNode(const NodeDrillOptions& options, std::chrono::milliseconds time) {
  KLATCH_ASSIGN_OR_RETURN(const pid_t pid, FindNode(options));
  if (kill(pid, SIGSTOP) != 0) {
    return base::Error(absl::StatusCode::kNotFound,
                       fmt::format("process {} can't be stopped", pid));
  }
  std::this_thread::sleep_for(time);
  kill(pid, SIGCONT);
  return absl::OkStatus();
}

absl::StatusOr<pid_t> KillAndRestart(const NodeDrillOptions& options,
                                     std::chrono::milliseconds timeout) {
  KLATCH_ASSIGN_OR_RETURN(pid_t old_pid, FindNode(options));
  if (kill(old_pid, SIGKILL) != 0) {
    return base::Error(absl::StatusCode::kPermissionDenied,
                       fmt::format("can't kill process {}: {}", old_pid, std::strerror(errno)));
  }
  auto end = std::chrono::steady_clock::now() + timeout;
  while (Runs(old_pid)) {
    if (std::chrono::steady_clock::now() > end) {
      return base::Error(absl::StatusCode::kDeadlineExceeded,
                         fmt::format("process {} does not end", old_pid));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  KLATCH_ASSIGN_OR_RETURN(pid_t new_pid, Start(options.restart_command));
  if (!options.pid_file.empty()) {
    std::ofstream(options.pid_file) << new_pid << "\n";
  }
  return new_pid;
}

}  // namespace klatch::load
