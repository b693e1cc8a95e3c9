#include "tests/integration/redis_server_fixture.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>
#include <utility>

namespace klatch::testing {
namespace {

constexpr std::chrono::seconds kStartTimeMax{30};
constexpr std::chrono::milliseconds kLookAgain{5};

[[noreturn]] void Die(std::string_view what) {
  fmt::print(stderr, "redis_server_fixture: {}\n", what);
  std::abort();
}

// In the child, after fork: only calls that are safe there.
[[noreturn]] void Exec(const std::vector<char*>& argv, const char* log, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) {
    _exit(126);  // The test ended between fork and prctl.
  }
  const int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, 0);
  dup2(out, 1);
  dup2(out, 2);
  close_range(3, ~0U, 0);
  execvp(argv[0], argv.data());
  _exit(127);
}

}  // namespace

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&address), length) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    Die("no free port");
  }
  close(fd);
  return ntohs(address.sin_port);
}

TemporaryDirectory::TemporaryDirectory() {
  std::string pattern = (std::filesystem::temp_directory_path() / "klatch_test_XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    Die("no temporary directory");
  }
  path_ = pattern;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;  // A file left in /tmp is no reason to fail a test.
  std::filesystem::remove_all(path_, ignored);
}

RedisServer::RedisServer(Options options) : options_(std::move(options)) {
  if (std::getenv("KLATCH_TEST_REDIS_TLS") != nullptr) {
    tls_ = std::make_unique<TlsFiles>();
    address_ = tls_->AddressOf("localhost", FreePort(), "klatch");
  } else {
    address_.socket_path = (directory_.path() / "redis.sock").string();
  }
  Start();
}

RedisServer::~RedisServer() {
  if (process_id_ != 0) {
    Kill();
  }
}

void RedisServer::Start() {
  std::vector<std::string> arguments = {"redis-server"};
  if (!options_.sentinel.empty()) {
    // It writes into the file what it learns.
    const std::string file = (directory_.path() / "sentinel.conf").string();
    std::ofstream(file) << options_.sentinel << '\n';
    arguments.insert(arguments.end(), {file, "--sentinel"});
  }
  const std::vector<std::string> where =
      tls_ != nullptr ? tls_->ServerArguments(address_.port)
                      : std::vector<std::string>{"--unixsocket", address_.socket_path};
  arguments.insert(arguments.end(), where.begin(), where.end());
  const std::vector<std::string> settings = {
      "--port",       "0",
      "--dir",        directory_.path().string(),
      "--save",       "",
      "--daemonize",  "no",
      "--appendonly", options_.persistence == Persistence::kAppendOnly ? "yes" : "no"};
  arguments.insert(arguments.end(), settings.begin(), settings.end());
  arguments.insert(arguments.end(), options_.arguments.begin(), options_.arguments.end());
  std::vector<char*> argv;
  for (std::string& argument : arguments) {
    argv.push_back(argument.data());
  }
  argv.push_back(nullptr);
  const std::string log = (directory_.path() / "redis.log").string();
  const pid_t parent = getpid();
  process_id_ = fork();
  if (process_id_ < 0) {
    Die("cannot fork");
  }
  if (process_id_ == 0) {
    Exec(argv, log.c_str(), parent);
  }
  AwaitReady();
}

void RedisServer::AwaitReady() {
  const auto deadline = std::chrono::steady_clock::now() + kStartTimeMax;
  std::string last;
  while (std::chrono::steady_clock::now() < deadline) {
    int status = 0;
    if (waitpid(process_id_, &status, WNOHANG) == process_id_) {
      Die(WIFEXITED(status) && WEXITSTATUS(status) == 127
              ? "redis-server is not installed (apt-get install redis-server)"
              : fmt::format("redis-server ended at its start, status {}", status));
    }
    auto connection = redis::Connection::Connect(address_, {});
    if (connection.ok()) {
      const redis::Command ping{"PING"};
      auto replies = (*connection)->CallAll({&ping, 1});
      last = replies.ok() ? std::string((*replies)[0].text()) : base::MessageOf(replies.status());
      if (replies.ok() && !last.starts_with("LOADING")) {
        return;
      }
    }
    std::this_thread::sleep_for(kLookAgain);  // Looking again, not synchronising: it is a process.
  }
  Die(fmt::format("redis-server does not answer; the last answer was \"{}\"", last));
}

void RedisServer::Kill() {
  kill(process_id_, SIGKILL);
  waitpid(process_id_, nullptr, 0);
  process_id_ = 0;
}

void RedisServer::Freeze() {
  kill(process_id_, SIGSTOP);
  // The signal is delivered at some later time; the kernel tells when.
  waitpid(process_id_, nullptr, WUNTRACED);
}

void RedisServer::Thaw() { kill(process_id_, SIGCONT); }

std::unique_ptr<redis::Connection> RedisServer::Connect(redis::Connection::Options options) const {
  auto connection = redis::Connection::Connect(address_, options);
  if (!connection.ok()) {
    Die(connection.status().ToString());
  }
  return *std::move(connection);
}

}  // namespace klatch::testing
