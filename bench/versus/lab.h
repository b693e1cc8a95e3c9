#pragma once
// The lab of a run: its folder, and the processes that it starts there.
//
//   Lab ──▶ RedisHost (append-only, synced every second, on a Unix socket)
//       ├─▶ NodeHost  (klatchd on a RedisHost)
//       ├─▶ NatsHost  (nats-server on loopback)
//       └─▶ PlayResult of a `klatch-load play` with its checks
//
// Thread safety: one thread at a time. Lifetime: hosts go before the lab, nodes before their Redis.
// Errors: NOT_FOUND, a program is missing; INTERNAL, something ended at its start; CANCELLED,
// interrupted; DATA_LOSS, a load's checks found faults.

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/versus/options.h"
#include "bench/versus/process.h"
#include "common/base/status.h"
#include "common/redis/address.h"
#include "common/redis/connection.h"

namespace klatch::versus {

// One line on stderr.
void Say(std::string_view text);
// The same, behind the minutes and seconds since the first such line.
void SayProgress(std::string_view text);

class RedisHost {
 public:
  RedisHost(std::unique_ptr<Process> process, redis::Address address)
      : process_(std::move(process)), address_(std::move(address)) {}

  const redis::Address& address() const { return address_; }
  std::string uri() const { return "unix://" + address_.socket_path; }
  pid_t pid() const { return process_->pid(); }
  // A number of INFO; nothing if it says no such.
  absl::StatusOr<double> Info(std::string_view section, std::string_view name) const;
  absl::StatusOr<std::unique_ptr<redis::Connection>> Connect() const;

 private:
  std::unique_ptr<Process> process_;
  redis::Address address_;
};

class NodeHost {
 public:
  NodeHost(std::unique_ptr<Process> process, std::string target, std::string metrics)
      : process_(std::move(process)), target_(std::move(target)), metrics_(std::move(metrics)) {}

  const std::string& target() const { return target_; }
  const std::string& metrics() const { return metrics_; }
  pid_t pid() const { return process_->pid(); }
  Process& process() { return *process_; }
  // UNAVAILABLE: no answer, or no such metric.
  absl::StatusOr<double> Metric(std::string_view name) const;
  // The number behind a field of the log's line that says `message`. INTERNAL: there is none.
  absl::StatusOr<double> LogNumber(std::string_view message, std::string_view field) const;
  // Until Redis has everything. DEADLINE_EXCEEDED: it has not after kFlushWait.
  absl::Status AwaitFlushed() const;

 private:
  std::unique_ptr<Process> process_;
  std::string target_;
  std::string metrics_;
};

class NatsHost {
 public:
  NatsHost(std::unique_ptr<Process> process, int port)
      : process_(std::move(process)), port_(port) {}
  int port() const { return port_; }
  pid_t pid() const { return process_->pid(); }

 private:
  std::unique_ptr<Process> process_;
  int port_;
};

// Of a load that was green.
struct PlayResult {
  double deliveries = 0;
  double seconds = 0;  // the drain included
  double published = 0;
  double publish_p99_us = 0;
  double per_second() const { return seconds > 0 ? deliveries / seconds : 0; }
};

class Lab {
 public:
  // `options` and `interrupted` outlive it.
  static absl::StatusOr<std::unique_ptr<Lab>> Open(const VersusOptions& options,
                                                   const std::atomic<bool>& interrupted);
  // Removes the folder, if it is a temporary one.
  ~Lab();
  Lab(const Lab&) = delete;
  Lab& operator=(const Lab&) = delete;

  absl::StatusOr<std::unique_ptr<RedisHost>> StartRedis(const std::string& name);
  absl::StatusOr<std::unique_ptr<NodeHost>> StartNode(const std::string& name,
                                                      const RedisHost& redis,
                                                      const std::vector<std::string>& more = {});
  absl::StatusOr<std::unique_ptr<NatsHost>> StartNats(const std::string& name);
  // This program as a server of `what`, see peer_server.h; `listen` is then its target.
  absl::StatusOr<std::unique_ptr<Process>> StartPeer(const std::string& name,
                                                     const std::string& what, std::string* listen);

  // Runs `klatch-load play` against the node to its end. `meanwhile` is called several times a second.
  absl::StatusOr<PlayResult> Play(
      const NodeHost& node, const RedisHost& redis, const std::vector<std::string>& arguments,
      const std::function<void()>& meanwhile = [] {});

  const VersusOptions& options() const { return options_; }
  bool interrupted() const { return interrupted_.load(std::memory_order_relaxed); }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  Lab(const VersusOptions& options, const std::atomic<bool>& interrupted)
      : options_(options), interrupted_(interrupted) {}
  // Calls `ready` until it says true. INTERNAL: the process ended, or kStartTimeMax passed.
  absl::Status Await(Process& process, std::string_view what, const std::function<bool()>& ready);

  const VersusOptions& options_;
  const std::atomic<bool>& interrupted_;
  std::filesystem::path folder_;
  bool is_temporary_ = false;
  int plays_ = 0;
};

// The node to measure: what the options name, the one beside this program, or PATH's.
absl::StatusOr<std::string> FindKlatchd(const VersusOptions& options);
absl::StatusOr<std::string> FindRedisServer(const VersusOptions& options);
absl::StatusOr<std::string> FindNatsServer(const VersusOptions& options);

}  // namespace klatch::versus
