#pragma once
// Programs that a test starts for real: any command, and klatchd with a data directory of its own.
//
//   Klatchd klatchd;                       // on a Unix socket, with a redis-server of its own
//   Client client(klatchd.Channel());
//   …
//   EXPECT_EQ(klatchd.Terminate(), 0);
//
// Thread safety: one thread at a time; the thread that starts a process lives as long as it does.
// Whatever is started ends with its object, and when the test's process dies: klatchd is then asked
// to stop, and takes its redis-server along.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/redis/connection.h"
#include "tests/integration/eventually.h"
#include "tests/integration/redis_server_fixture.h"

namespace klatch::testing {

// A running command with its two outputs in files.
class Process {
 public:
  // Starts argv[0], looked up in PATH. `scratch` outlives it. Variables are added to the test's
  // own, of which those that start with KLATCH_ are left out.
  Process(std::vector<std::string> argv, const std::filesystem::path& scratch,
          std::vector<std::string> variables = {});
  // SIGKILL if it still runs.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t id() const { return id_; }
  bool running();
  // REQUIRES: it has not been waited for.
  void Signal(int signal) const;
  // Its exit code; 128 + n if signal n ended it; nothing if it still runs after `limit`.
  std::optional<int> AwaitEnd(std::chrono::milliseconds limit = kProcessWaitMax);

  std::string output() const;
  std::string errors() const;

 private:
  const std::filesystem::path output_;
  const std::filesystem::path errors_;
  pid_t id_ = 0;
  std::optional<int> ended_;
};

// How a command ended.
struct Outcome {
  // 128 + n if signal n ended it; -1 if it did not end.
  int exit_code = -1;
  std::string output;
  std::string errors;
};
// Runs a command to its end, as Process does.
Outcome RunToEnd(std::vector<std::string> argv, std::vector<std::string> variables = {});
// Runs a line of sh, in which "$@" is `argv` and "$0" an empty folder.
Outcome RunBehind(const std::string& line, std::vector<std::string> argv,
                  std::vector<std::string> variables = {});

// Where the build put the commands.
std::string KlatchdProgram();
// What klatchd --check-config says of these arguments, which must be one line, and end it with 2.
std::string ComplaintAbout(const std::vector<std::string>& arguments);
std::string KlatchProgram();

class Klatchd {
 public:
  enum class Listen { kUnixSocket, kTcp };
  enum class Begin { kServing, kNotStarted };
  struct Options {
    // More of klatchd's arguments.
    std::vector<std::string> arguments;
    Listen listen = Listen::kUnixSocket;
    Begin begin = Begin::kServing;
    // Words before the command, which must exec the rest, such as {"nice"}.
    std::vector<std::string> prefix = {};
  };

  // Starts it and waits until it serves, unless it is to be started later.
  Klatchd() : Klatchd(Options()) {}
  explicit Klatchd(Options options);
  // Ends it by SIGTERM, then the redis-server of its data directory if it left one.
  ~Klatchd();

  // Again on the same data directory. REQUIRES: it does not run.
  void Start();
  // Starts without waiting for anything but the process.
  void Launch();
  // Waits for the line of the log that says that it serves.
  void AwaitServing();
  // Waits until the metrics server answers, be it that klatchd waits for Redis. REQUIRES: Launch.
  void AwaitMetrics();
  // SIGKILL; its redis-server stays.
  void Kill();
  // SIGTERM, then its exit code. -1: it does not end.
  int Terminate();

  Process& process() { return *process_; }
  // For gRPC clients.
  const std::string& address() const { return address_; }
  std::shared_ptr<grpc::Channel> Channel() const;
  // "127.0.0.1:port"; empty without --http-listen.
  const std::string& http_address() const { return http_address_; }
  int metrics_port() const { return metrics_port_; }
  // GET of the metrics server: the status code, 0 if there is no answer, and the body.
  std::pair<int, std::string> Get(const std::string& path) const;
  std::filesystem::path data_dir() const { return directory_.path() / "data"; }
  const std::filesystem::path& scratch() const { return directory_.path(); }
  // Of the redis-server whose working directory is the data directory's; 0 if there is none.
  pid_t RedisProcess() const;
  std::unique_ptr<redis::Connection> ConnectRedis() const;

 private:
  std::string AwaitLine(const std::string& message);
  void ReadMetricsPort(std::string_view line);
  std::string Field(std::string_view line, std::string_view name) const;
  std::vector<std::string> Arguments() const;
  void StopRedis() const;

  const Options options_;
  TemporaryDirectory directory_;
  int starts_ = 0;
  std::unique_ptr<Process> process_;
  std::string address_;
  std::string http_address_;
  int metrics_port_ = 0;
};

}  // namespace klatch::testing
