#include "common/redis/embedded_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
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
constexpr milliseconds kProbeTimeout{1000};
// For a child that is given up, and for the kernel after SIGKILL.
constexpr milliseconds kGiveUpWait{1000};
constexpr milliseconds kKillWait{500};
// The child's descriptor of server.lock.
constexpr int kLockDescriptor = 3;

absl::Status Precondition(std::string_view what) {
  return base::Error(absl::StatusCode::kFailedPrecondition, what);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) {
      close(fd_);
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

// Spawn's attributes and file actions, freed at the end of the scope.
struct SpawnSetup {
  SpawnSetup(const std::string& directory, const std::string& log, int lock_descriptor) {
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    posix_spawn_file_actions_adddup2(&actions, lock_descriptor, kLockDescriptor);
    // Libraries open descriptors without close-on-exec.
    posix_spawn_file_actions_addclosefrom_np(&actions, kLockDescriptor + 1);
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
    // A process group of its own, as Ctrl-C is for the node alone. A session of its own would mean a
    // scheduling group of its own on kernels with autogroups, and on 6.18 one that starves as soon
    // as others are busy.
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
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

absl::StatusOr<std::unique_ptr<EmbeddedServer>> EmbeddedServer::StartOrAdopt(Options options,
                                                                             const Watch& watch) {
  std::unique_ptr<EmbeddedServer> server(new EmbeddedServer(std::move(options)));
  KLATCH_RETURN_IF_ERROR(server->Prepare());
  absl::Status ready = server->AwaitReady(watch);
  if (ready.ok()) {
    return server;
  }
  if (server->child_ != 0) {
    // It has served nobody. Left alone it would go on loading for nobody.
    server->process_id_ = server->child_;
    KLATCH_RETURN_IF_ERROR(server->AwaitSignalledEnd(kGiveUpWait));
  }
  return ready;
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

absl::Status EmbeddedServer::AwaitReady(const Watch& watch) {
  while (true) {
    KLATCH_ASSIGN_OR_RETURN(const bool ready, TryReach());
    if (ready) {
      return absl::OkStatus();
    }
    KLATCH_RETURN_IF_ERROR(child_ != 0 ? CheckChild() : StartUnlessOneIsThere());
    watch.waiting(last_error_);
    if (watch.interrupted()) {
      return base::Error(absl::StatusCode::kCancelled, "interrupted");
    }
    std::this_thread::sleep_for(kLookAgain);
  }
}

// Whether our server answers and is ready. An error is final.
absl::StatusOr<bool> EmbeddedServer::TryReach() {
  auto facts = Probe(address_, {.connect_timeout = kProbeTimeout, .call_timeout = kProbeTimeout});
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

// Starts a server, with server.lock held for it, unless somebody holds that lock: a server that a
// former node left and that is silent, still loads or has only just been started.
absl::Status EmbeddedServer::StartUnlessOneIsThere() {
  const std::string path = directory_ + "/server.lock";
  const Descriptor lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.get() >= 0 && flock(lock.get(), LOCK_EX | LOCK_NB) == 0) {
    return Start(lock.get());
  }
  if (lock.get() >= 0 && errno == EWOULDBLOCK) {
    last_error_ = fmt::format("the redis-server that was left in {} is not ready: {}", directory_,
                              last_error_);
    return absl::OkStatus();
  }
  return Precondition(
      fmt::format("cannot lock {}: {}", path, std::generic_category().message(errno)));
}

absl::Status EmbeddedServer::Start(int lock_descriptor) {
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
  const SpawnSetup setup(directory_, log, lock_descriptor);
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

absl::Status EmbeddedServer::Stop(milliseconds limit) {
  if (process_id_ == 0) {
    return absl::OkStatus();
  }
  const milliseconds graceful = limit / 2;
  const milliseconds call_timeout = std::max(graceful / 2, milliseconds(1));
  const auto begin = std::chrono::steady_clock::now();
  const auto left = [begin](milliseconds of) {
    return std::chrono::duration_cast<milliseconds>(begin + of - std::chrono::steady_clock::now());
  };
  auto connection = Connection::Connect(
      address_, {.connect_timeout = call_timeout, .call_timeout = call_timeout});
  if (connection.ok()) {
    // Success shows in the connection's end, which reads as an error; what counts is the process.
    static_cast<void>((*connection)->Call({"SHUTDOWN"}));
  }
  if (!AwaitEnd(left(graceful))) {
    KLATCH_RETURN_IF_ERROR(AwaitSignalledEnd(left(limit)));
  }
  process_id_ = 0;
  child_ = 0;
  // A killed server leaves them; a name that refuses connections only puzzles people.
  unlink(address_.socket_path.c_str());
  unlink((directory_ + "/redis.pid").c_str());
  return absl::OkStatus();
}

// SIGTERM for `limit`, then SIGKILL.
absl::Status EmbeddedServer::AwaitSignalledEnd(milliseconds limit) {
  kill(process_id_, SIGTERM);
  if (AwaitEnd(limit)) {
    return absl::OkStatus();
  }
  kill(process_id_, SIGKILL);
  if (AwaitEnd(kKillWait)) {
    return absl::OkStatus();
  }
  return base::Error(absl::StatusCode::kInternal,
                     fmt::format("redis-server (process {}) does not end", process_id_));
}

}  // namespace klatch::redis
