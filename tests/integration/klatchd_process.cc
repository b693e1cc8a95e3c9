#include "tests/integration/klatchd_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

namespace klatch::testing {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void Die(std::string_view what) {
  fmt::print(stderr, "klatchd_process: {}\n", what);
  std::abort();
}

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) {
    pointers.push_back(text.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

// In the child, after fork: only calls that are safe there. posix_spawn can't ask for the signal at
// the parent's death, without which a crashing test would leave servers behind.
[[noreturn]] void Exec(char* const* argv, char* const* environment, const char* output,
                       const char* errors, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) {
    _exit(126);  // The test ended between fork and prctl.
  }
  dup2(open("/dev/null", O_RDONLY), 0);
  dup2(open(output, O_WRONLY | O_CREAT | O_TRUNC, 0600), 1);
  dup2(open(errors, O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
  close_range(3, ~0U, 0);
  execvpe(argv[0], argv, environment);
  _exit(127);
}

}  // namespace

Process::Process(std::vector<std::string> argv, const fs::path& scratch,
                 std::vector<std::string> variables)
    : output_(scratch / "stdout"), errors_(scratch / "stderr") {
  for (char** variable = environ; *variable != nullptr; ++variable) {
    // The tester's own would be options of what is tested.
    if (!std::string_view(*variable).starts_with("KLATCH_")) {
      variables.emplace_back(*variable);
    }
  }
  const std::vector<char*> arguments = Pointers(argv);
  const std::vector<char*> environment = Pointers(variables);
  const pid_t parent = getpid();
  id_ = fork();
  if (id_ < 0) {
    Die("cannot fork");
  }
  if (id_ == 0) {
    Exec(arguments.data(), environment.data(), output_.c_str(), errors_.c_str(), parent);
  }
}

Process::~Process() {
  if (running()) {
    Signal(SIGKILL);
    AwaitEnd();
  }
}

bool Process::running() {
  if (!ended_) {
    int status = 0;
    if (waitpid(id_, &status, WNOHANG) == id_) {
      ended_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
  }
  return !ended_.has_value();
}

void Process::Signal(int signal) const { kill(id_, signal); }

std::optional<int> Process::AwaitEnd(std::chrono::milliseconds limit) {
  Eventually([this] { return !running(); }, limit);
  return ended_;
}

std::string Process::output() const { return ReadFile(output_); }
std::string Process::errors() const { return ReadFile(errors_); }

Outcome RunToEnd(std::vector<std::string> argv, std::vector<std::string> variables) {
  const TemporaryDirectory scratch;
  Process process(std::move(argv), scratch.path(), std::move(variables));
  const int exit_code = process.AwaitEnd().value_or(-1);
  return {exit_code, process.output(), process.errors()};
}

Outcome RunBehind(const std::string& line, std::vector<std::string> argv,
                  std::vector<std::string> variables) {
  const TemporaryDirectory folder;
  argv.insert(argv.begin(), {"/bin/sh", "-c", line, folder.path().string()});
  return RunToEnd(std::move(argv), std::move(variables));
}

std::string KlatchdProgram() { return KLATCHD_PROGRAM; }

std::string ComplaintAbout(const std::vector<std::string>& arguments) {
  std::vector<std::string> argv{KlatchdProgram(), "--check-config"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  const Outcome outcome = RunToEnd(std::move(argv));
  EXPECT_EQ(outcome.exit_code, 2) << outcome.errors;
  EXPECT_EQ(std::ranges::count(outcome.errors, '\n'), 1) << outcome.errors;
  return outcome.errors;
}
std::string KlatchProgram() { return KLATCH_PROGRAM; }

Klatchd::Klatchd(Options options) : options_(std::move(options)) {
  if (options_.begin == Begin::kServing) {
    Start();
  }
}

Klatchd::~Klatchd() {
  if (process_ && process_->running()) {
    Terminate();
  }
  process_.reset();
  StopRedis();
}

std::vector<std::string> Klatchd::Arguments() const {
  std::vector<std::string> argv = options_.prefix;
  const std::string socket = "unix:" + (directory_.path() / "klatchd.sock").string();
  argv.insert(argv.end(), {KlatchdProgram(), "--data-dir", data_dir().string(), "--listen",
                           options_.listen == Listen::kTcp ? "127.0.0.1:0" : socket,
                           "--metrics-listen", "127.0.0.1:0"});
  argv.insert(argv.end(), options_.arguments.begin(), options_.arguments.end());
  return argv;
}

void Klatchd::Launch() {
  const fs::path outputs = directory_.path() / fmt::format("run{}", starts_++);
  fs::create_directory(outputs);
  process_ = std::make_unique<Process>(Arguments(), outputs);
}

void Klatchd::Start() {
  Launch();
  AwaitServing();
}

void Klatchd::AwaitServing() {
  const std::string line = AwaitLine("serving");
  address_ = Field(line, "listen");
  http_address_ = Field(line, "http_listen");
  ReadMetricsPort(line);
}

void Klatchd::AwaitMetrics() { ReadMetricsPort(AwaitLine("starting")); }

std::string Klatchd::AwaitLine(const std::string& message) {
  const std::string wanted = fmt::format(R"("msg":"{}")", message);
  std::string line;
  const bool ended = Eventually([this, &line, &wanted] {
    const std::string log = process_->errors();
    const size_t found = log.find(wanted);
    const size_t end = found == std::string::npos ? found : log.find('\n', found);
    if (end != std::string::npos) {
      line = log.substr(found, end - found);
    }
    return !line.empty() || !process_->running();
  });
  if (!ended || line.empty()) {
    Die(fmt::format("klatchd does not say \"{}\"; its log:\n{}", message, process_->errors()));
  }
  return line;
}

void Klatchd::ReadMetricsPort(std::string_view line) {
  const std::string metrics = Field(line, "metrics");
  const std::string_view port = std::string_view(metrics).substr(metrics.rfind(':') + 1);
  std::from_chars(port.data(), port.data() + port.size(), metrics_port_);
}

std::string Klatchd::Field(std::string_view line, std::string_view name) const {
  const std::string key = fmt::format(R"("{}":")", name);
  const size_t begin = line.find(key);
  if (begin == std::string_view::npos) {
    Die(fmt::format("the log's line names no {}: {}", name, line));
  }
  line.remove_prefix(begin + key.size());
  return std::string(line.substr(0, line.find('"')));
}

void Klatchd::Kill() {
  process_->Signal(SIGKILL);
  process_->AwaitEnd();
}

int Klatchd::Terminate() {
  process_->Signal(SIGTERM);
  return process_->AwaitEnd().value_or(-1);
}

std::shared_ptr<grpc::Channel> Klatchd::Channel() const {
  grpc::ChannelArguments arguments;
  // A restarted server is found at once, and no channel of an earlier test is shared.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 10);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments);
}

std::pair<int, std::string> Klatchd::Get(const std::string& path) const {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(static_cast<uint16_t>(metrics_port_));
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof(name)) == 0) {
    const std::string request =
        "GET " + path + " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    static_cast<void>(send(fd, request.data(), request.size(), MSG_NOSIGNAL));
    char buffer[4096];
    for (ssize_t n = 0; (n = recv(fd, buffer, sizeof(buffer), 0)) > 0;) {
      answer.append(buffer, static_cast<size_t>(n));
    }
  }
  close(fd);
  int code = 0;
  const size_t space = answer.find(' ');
  const size_t body = answer.find("\r\n\r\n");
  if (space == std::string::npos || body == std::string::npos) {
    return {0, answer};
  }
  std::from_chars(answer.data() + space + 1, answer.data() + answer.size(), code);
  return {code, answer.substr(body + 4)};
}

pid_t Klatchd::RedisProcess() const {
  const fs::path home = data_dir() / "redis";
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    pid_t id = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), id).ec != std::errc()) {
      continue;
    }
    std::error_code error;  // Processes end while we look.
    const fs::path directory = fs::read_symlink(entry.path() / "cwd", error);
    if (!error && directory == home) {
      return id;
    }
  }
  return 0;
}

void Klatchd::StopRedis() const {
  Eventually([this] {
    const pid_t left = RedisProcess();
    if (left != 0) {
      kill(left, SIGKILL);
    }
    return left == 0;
  });
}

std::unique_ptr<redis::Connection> Klatchd::ConnectRedis() const {
  redis::Address address;
  address.socket_path = (data_dir() / "redis.sock").string();
  auto connection = redis::Connection::Connect(address, {});
  if (!connection.ok()) {
    Die(connection.status().ToString());
  }
  return *std::move(connection);
}

}  // namespace klatch::testing
