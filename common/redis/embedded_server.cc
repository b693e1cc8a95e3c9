#include "common/redis/embedded_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "common/redis/connection.h"
#include "common/redis/probe.h"

namespace klatch::redis {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

// A process can't be waited for but by looking: it need not be our child.
constexpr milliseconds kLookAgain{10};
constexpr milliseconds kProbeTimeoutMax{1000};
constexpr milliseconds kSignalWaitMax{2000};

absl::Status Precondition(std::string_view what) {
  return base::Error(absl::StatusCode::kFailedPrecondition, what);
}

// Spawn's attributes and file actions, freed at the end of the scope.
struct SpawnSetup {
  SpawnSetup(const std::string& directory, const std::string& log) {
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    // Libraries open descriptors without close-on-exec.
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    // From its first moment on the server is recognised by its working directory.
    posix_spawn_file_actions_addchdir_np(&actions, directory.c_str());
    posix_spawnattr_init(&attributes);
    // The node may block or ignore signals that must reach the server.
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    sigset_t all;
    sigfillset(&all);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnSetup() {
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

}  // namespace

absl::StatusOr<std::unique_ptr<EmbeddedServer>> EmbeddedServer::StartOrAdopt(Options options) {
  std::unique_ptr<EmbeddedServer> server(new EmbeddedServer(std::move(options)));
  KLATCH_RETURN_IF_ERROR(server->Prepare());
  KLATCH_RETURN_IF_ERROR(server->AwaitReady());
  return server;
}

// Directories, paths, the lock.
absl::Status EmbeddedServer::Prepare() {
  std::error_code error;
  const fs::path data_dir = fs::absolute(options_.data_dir, error);
  fs::create_directories(data_dir / "redis", error);
  const fs::path directory = fs::canonical(data_dir / "redis", error);
  if (error) {
    return Precondition(
        fmt::format("cannot create {}/redis: {}", options_.data_dir, error.message()));
  }
  directory_ = directory.string();
  address_.socket_path = (data_dir / "redis.sock").lexically_normal().string();
  constexpr size_t kPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;
  if (address_.socket_path.size() > kPathBytesMax) {
    return Precondition(
        fmt::format("the path of the data directory is too long: {} has {} bytes, a Unix socket's "
                    "path may have "
                    "{}; use a shorter one",
                    address_.socket_path, address_.socket_path.size(), kPathBytesMax));
  }
  auto lock = base::FileLock::Acquire((data_dir / "lock").lexically_normal().string());
  if (!lock.ok()) {
    return base::Annotate(lock.status(), "data directory");
  }
  lock_ = std::make_unique<base::FileLock>(*std::move(lock));
  return absl::OkStatus();
}

absl::Status EmbeddedServer::AwaitReady() {
  const auto deadline = std::chrono::steady_clock::now() + options_.start_timeout;
  while (true) {
    const auto left =
        std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      return base::Error(absl::StatusCode::kUnavailable,
                         fmt::format("redis-server is not ready after {} ms: {}",
                                     options_.start_timeout.count(), last_error_));
    }
    KLATCH_ASSIGN_OR_RETURN(const bool ready, TryReach(std::min(left, kProbeTimeoutMax)));
    if (ready) {
      return absl::OkStatus();
    }
    if (child_ != 0) {
      KLATCH_RETURN_IF_ERROR(CheckChild());
    } else if (LeftBehind() == 0) {
      // Two servers on one append-only file would ruin it; so one that is still there, even if it
      // is silent, is waited for.
      KLATCH_RETURN_IF_ERROR(Start());
    }
    std::this_thread::sleep_for(kLookAgain);
  }
}

// Whether our server answers and is ready. An error is final.
absl::StatusOr<bool> EmbeddedServer::TryReach(milliseconds timeout) {
  auto facts = Probe(address_, {.connect_timeout = timeout, .call_timeout = timeout});
  if (!facts.ok()) {
    last_error_ = base::MessageOf(facts.status());
    if (absl::IsUnavailable(facts.status())) {
      return false;
    }
    return facts.status();
  }
  std::error_code error;
  if (!fs::equivalent(facts->directory, directory_, error) || error) {
    return Precondition(fmt::format("another Redis (process {}, directory {}) listens on {}",
                                    facts->process_id, facts->directory, address_.socket_path));
  }
  process_id_ = static_cast<pid_t>(facts->process_id);
  adopted_ = process_id_ != child_;
  return true;
}

absl::Status EmbeddedServer::Start() {
  const std::string log = directory_ + "/redis.log";
  std::vector<std::string> arguments = {options_.program,
                                        "--port",
                                        "0",
                                        "--unixsocket",
                                        address_.socket_path,
                                        "--unixsocketperm",
                                        "700",
                                        "--dir",
                                        directory_,
                                        "--pidfile",
                                        directory_ + "/redis.pid",
                                        "--logfile",
                                        log,
                                        "--appendonly",
                                        "yes",
                                        "--appendfsync",
                                        "everysec",
                                        "--save",
                                        "",
                                        "--maxmemory-policy",
                                        "noeviction",
                                        "--daemonize",
                                        "no"};
  arguments.insert(arguments.end(), options_.arguments.begin(), options_.arguments.end());
  std::vector<char*> argv;
  for (std::string& argument : arguments) {
    argv.push_back(argument.data());
  }
  argv.push_back(nullptr);
  const SpawnSetup setup(directory_, log);
  const int error = posix_spawnp(&child_, options_.program.c_str(), &setup.actions,
                                 &setup.attributes, argv.data(), environ);
  if (error == 0) {
    return absl::OkStatus();
  }
  child_ = 0;
  if (error == ENOENT) {
    return base::Error(absl::StatusCode::kNotFound,
                       fmt::format("{} is not installed (apt-get install redis-server)",
                                   fs::path(options_.program).filename().string()));
  }
  return Precondition(
      fmt::format("cannot start {}: {}", options_.program, std::generic_category().message(error)));
}

absl::Status EmbeddedServer::CheckChild() {
  int status = 0;
  if (waitpid(child_, &status, WNOHANG) != child_) {
    return absl::OkStatus();
  }
  child_ = 0;
  const std::string how = WIFEXITED(status) ? fmt::format("exit status {}", WEXITSTATUS(status))
                                            : fmt::format("signal {}", WTERMSIG(status));
  return Precondition(
      fmt::format("redis-server ended at its start ({}); the last line of {}/redis.log "
                  "is: {}",
                  how, directory_, LastLogLine()));
}

// The process id of a server that a former node left here; 0 if there is none.
pid_t EmbeddedServer::LeftBehind() const {
  pid_t process_id = 0;
  std::ifstream(directory_ + "/redis.pid") >> process_id;
  return process_id > 0 && WorksHere(process_id) ? process_id : 0;
}

// Whether that process is our server, not another one under a number used again. The directory of a
// process that has ended can't be read, even before its parent has taken notice.
bool EmbeddedServer::WorksHere(pid_t process_id) const {
  std::error_code error;
  const fs::path cwd = fs::read_symlink(fmt::format("/proc/{}/cwd", process_id), error);
  return !error && cwd == directory_;
}

// Whether the server is still there. If it is a child of this process and has ended, this takes it
// off the process table.
bool EmbeddedServer::Running() const {
  const pid_t ended = waitpid(process_id_, nullptr, WNOHANG);
  return ended == 0 || (ended < 0 && WorksHere(process_id_));
}

std::string EmbeddedServer::LastLogLine() const {
  std::ifstream log(directory_ + "/redis.log");
  std::string last = "(empty)";
  for (std::string line; std::getline(log, line);) {
    if (!line.empty()) {
      last = line;
    }
  }
  return last;
}

bool EmbeddedServer::AwaitEnd(milliseconds limit) const {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (Running()) {
    if (std::chrono::steady_clock::now() >= deadline) {
      return false;
    }
    std::this_thread::sleep_for(kLookAgain);
  }
  return true;
}

absl::Status EmbeddedServer::Stop(milliseconds graceful_max) {
  if (process_id_ == 0) {
    return absl::OkStatus();
  }
  const auto begin = std::chrono::steady_clock::now();
  auto connection = Connection::Connect(
      address_, {.connect_timeout = graceful_max, .call_timeout = graceful_max});
  if (connection.ok()) {
    // Success shows in the connection's end, which reads as an error; what counts is the process.
    static_cast<void>((*connection)->Call({"SHUTDOWN"}));
  }
  const auto left = begin + graceful_max - std::chrono::steady_clock::now();
  bool ended = AwaitEnd(std::chrono::duration_cast<milliseconds>(left));
  for (int signal : {SIGTERM, SIGKILL}) {
    if (!ended) {
      kill(process_id_, signal);
      ended = AwaitEnd(kSignalWaitMax);
    }
  }
  if (!ended) {
    return base::Error(absl::StatusCode::kInternal,
                       fmt::format("redis-server (process {}) does not end", process_id_));
  }
  process_id_ = 0;
  child_ = 0;
  // A killed server leaves them; a name that refuses connections only puzzles people.
  unlink(address_.socket_path.c_str());
  unlink((directory_ + "/redis.pid").c_str());
  return absl::OkStatus();
}

}  // namespace klatch::redis
