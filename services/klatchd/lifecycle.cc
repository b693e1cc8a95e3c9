#include "services/klatchd/lifecycle.h"

#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <ctime>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "common/base/endpoint.h"
#include "common/obs/http_server.h"
#include "common/obs/log.h"
#include "common/obs/process_metrics.h"
#include "services/klatchd/access.h"
#include "services/klatchd/node.h"
#include "services/klatchd/redis_access.h"
#include "services/klatchd/server.h"

namespace klatch {
namespace {

constexpr int kExitGood = 0;
constexpr int kExitMissed = 1;
constexpr int kExitConfiguration = 2;
constexpr int kExitPrerequisite = 3;
constexpr int kExitUnreachable = 4;

constexpr std::chrono::milliseconds kRetryPause{500};
constexpr std::chrono::milliseconds kHealthCheck{200};
constexpr std::chrono::milliseconds kUnloadSlack{500};
// Of the time to drain, for calls that wait for something to be applied: milliseconds if it ever
// is, and a quarter of the time at most if it is not, so that the rest is there for flushing.
constexpr std::chrono::milliseconds kWaitsGrace{1'000};
constexpr int kWaitsShare = 4;
// What answers are given to reach their callers.
constexpr std::chrono::milliseconds kAnswersGrace{200};
// Beyond --drain-timeout: for a step that has ended in time to be seen.
constexpr std::chrono::milliseconds kDrainSlack{1'000};
// For our own redis-server to end, though the time to drain is used up.
constexpr std::chrono::milliseconds kRedisEndMin{500};
constexpr char kReload[] = "RELOAD";

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kCancelled:
      return kExitGood;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kExitUnreachable;
    case absl::StatusCode::kNotFound:
      return kExitPrerequisite;
    case absl::StatusCode::kAborted:
      return kExitMissed;
    default:
      return kExitConfiguration;
  }
}

// Waits for SIGTERM or SIGINT; false if none came within `wait`.
bool SignalWithin(std::chrono::milliseconds wait) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  const timespec timeout{wait.count() / 1000, (wait.count() % 1000) * 1'000'000};
  return sigtimedwait(&set, nullptr, &timeout) > 0;
}

// What protobuf has to say, such as a string that is not UTF-8, becomes a line of our log; at debug
// level, because the caller is told and anybody can cause it.
void LogForProtobuf(google::protobuf::LogLevel, const char*, int, const std::string& message) {
  obs::Log(obs::Level::kDebug, "protobuf", message, {});
}

// What gRPC has to say becomes lines of our log. Anybody can cause most of it, such as by a handshake that
// fails: a line a second at most.
void LogForGrpc(gpr_log_func_args* line) {
  static obs::LogLimiter limiter{1};
  const bool is_error = line->severity == GPR_LOG_SEVERITY_ERROR;
  if (!is_error) {
    obs::Log(obs::Level::kDebug, "grpc", line->message);
    return;
  }
  const base::SystemClock clock;
  if (const auto suppressed = limiter.Admit(clock.Monotonic())) {
    obs::Log(obs::Level::kWarn, "grpc", line->message, {{"suppressed", *suppressed}});
  }
}

// Ends the process when what happens while it lives takes longer than `limit`. The steps of a
// drain look at the clock themselves; but each of them may be in the middle of a call to Redis or
// wait for a thread that is, and how long those take is not up to them.
class TimeLimit {
 public:
  explicit TimeLimit(std::chrono::milliseconds limit) : thread_([this, limit] { Watch(limit); }) {}
  ~TimeLimit() {
    {
      std::lock_guard lock(mutex_);
      over_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  TimeLimit(const TimeLimit&) = delete;
  TimeLimit& operator=(const TimeLimit&) = delete;

 private:
  void Watch(std::chrono::milliseconds limit) {
    std::unique_lock lock(mutex_);
    if (!wake_.wait_for(lock, limit, [this] { return over_; })) {
      obs::Log(obs::Level::kError, "klatchd", "not drained",
               {{"error", "a step of it did not end within --drain-timeout"}});
      std::_Exit(kExitMissed);
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  bool over_ = false;  // guarded by mutex_
  std::thread thread_;
};

class Lifecycle {
 public:
  explicit Lifecycle(const KlatchdOptions& options)
      : options_(options), memory_(LayoutOf(options)) {}

  int Run();

 private:
  absl::Status StartAccess();
  absl::Status StartMetrics();
  absl::Status StartNode();
  absl::Status Serve();
  // Returns when no call is under way any more; else ends the process.
  void DrainOrExit(base::MonotonicTime deadline);
  // Takes the node apart, so that another can be started on what Redis holds now.
  absl::Status Unload(const absl::Status& why);
  obs::Readiness readiness();
  void SetPhase(std::string phase);
  // Whether a signal has come, now or before.
  bool Interrupted(std::chrono::milliseconds wait = std::chrono::milliseconds(0)) {
    interrupted_ = interrupted_ || SignalWithin(wait);
    return interrupted_;
  }

  // `listen` and `http_listen` become the addresses that were given, so that a reload keeps them.
  KlatchdOptions options_;
  const base::SystemClock clock_;
  bool interrupted_ = false;

  NodeMemory memory_;
  Access access_;
  obs::MetricsRegistry metrics_;
  std::unique_ptr<RedisAccess> redis_;
  std::unique_ptr<Node> node_;
  std::unique_ptr<Server> server_;

  std::mutex mutex_;
  // Guarded by mutex_.
  std::string phase_ = "starting";
  const Node* serving_ = nullptr;

  // Last, so that it is gone before what it reports on.
  std::unique_ptr<obs::ObservabilityServer> observability_;
};

int Lifecycle::Run() {
  absl::Status status = StartAccess();
  if (status.ok()) {
    status = StartMetrics();
  }
  while (status.ok()) {
    status = StartNode();
    if (status.ok()) {
      status = Serve();
    }
    if (base::ReasonOf(status) == kReload) {
      status = Unload(status);
    }
  }
  if (!status.ok() && status.code() != absl::StatusCode::kCancelled) {
    obs::Log(obs::Level::kError, "klatchd", "stopping", {{"error", base::MessageOf(status)}});
  }
  const int exit_code = ExitCodeOf(status);
  const base::MonotonicTime deadline = clock_.Monotonic() + options_.drain_timeout;
  {
    const TimeLimit limit(options_.drain_timeout + kDrainSlack);
    if (server_) {
      if (status.code() == absl::StatusCode::kAborted) {
        std::_Exit(kExitMissed);
      }
      DrainOrExit(deadline);
    }
    SetPhase("stopped");
    // First, since it reports on the others.
    observability_.reset();
    server_.reset();
    node_.reset();
  }
  if (redis_) {
    const auto left = deadline - clock_.Monotonic();
    redis_->StopEmbedded(
        std::max(kRedisEndMin, std::chrono::duration_cast<std::chrono::milliseconds>(left)));
  }
  obs::Log(obs::Level::kInfo, "klatchd", "stopped", {{"exit_code", int64_t{exit_code}}});
  return exit_code;
}

absl::Status Lifecycle::StartAccess() {
  KLATCH_RETURN_IF_ERROR(CheckRedisTls(options_));
  KLATCH_ASSIGN_OR_RETURN(access_, OpenAccess(options_, clock_));
  access_.StartReloading();
  return absl::OkStatus();
}

absl::Status Lifecycle::StartMetrics() {
  if (options_.metrics_listen.empty()) {
    return absl::OkStatus();
  }
  KLATCH_ASSIGN_OR_RETURN(const base::Endpoint endpoint,
                          base::Endpoint::Parse(options_.metrics_listen));
  KLATCH_ASSIGN_OR_RETURN(
      observability_, obs::ObservabilityServer::Start(endpoint.host, endpoint.port,
                                                      {metrics_, [this] { return readiness(); }}));
  // Said at once: while it waits for Redis, /readyz is where one asks why.
  obs::Log(obs::Level::kInfo, "klatchd", "starting",
           {{"metrics", fmt::format("{}:{}", endpoint.host, observability_->port())}});
  return absl::OkStatus();
}

absl::Status Lifecycle::StartNode() {
  const auto interrupted = [this] { return Interrupted(); };
  const auto waiting = [this](const std::string& reason) { SetPhase("waiting: " + reason); };
  while (true) {
    if (!redis_ || !redis_->Running() || redis_->moved()) {
      // Also when our own redis-server ends while the node loads: nobody else would start it.
      SetPhase("waiting for Redis");
      redis_.reset();
      KLATCH_ASSIGN_OR_RETURN(redis_, RedisAccess::Open(options_, clock_, interrupted, waiting));
    }
    // Where Sentinels are, there are replicas, though the next master may have none yet.
    if (redis_->has_sentinels()) {
      memory_.has_seen_replicas.store(true, std::memory_order_relaxed);
    }
    SetPhase("loading");
    node_ = std::make_unique<Node>(options_, redis_->address(), redis_->node_id(), clock_, memory_,
                                   access_.door.get());
    absl::Status status = node_->Start(interrupted);
    if (status.ok()) {
      return status;
    }
    node_.reset();
    if (Interrupted()) {
      return base::Error(absl::StatusCode::kCancelled, "interrupted");
    }
    if (status.code() != absl::StatusCode::kUnavailable) {
      return status;
    }
    obs::Log(obs::Level::kWarn, "klatchd", "can't start yet; trying again",
             {{"error", base::MessageOf(status)}});
    SetPhase("waiting: " + base::MessageOf(status));
    if (Interrupted(kRetryPause)) {
      return base::Error(absl::StatusCode::kCancelled, "interrupted");
    }
  }
}

absl::Status Lifecycle::Serve() {
  obs::RegisterProcessMetrics(metrics_);
  node_->Register(metrics_);
  access_.Register(metrics_);
  KLATCH_ASSIGN_OR_RETURN(server_, Server::Start(options_, access_, *node_));
  server_->Register(metrics_);
  options_.listen = server_->address();
  options_.http_listen = server_->http_address();
  {
    std::lock_guard lock(mutex_);
    serving_ = node_.get();
  }
  std::string metrics;
  if (observability_) {
    const auto endpoint = base::Endpoint::Parse(options_.metrics_listen);
    metrics = endpoint->host + ":" + std::to_string(observability_->port());
  }
  obs::Log(obs::Level::kInfo, "klatchd", "serving",
           {{"listen", server_->address()},
            {"metrics", metrics},
            {"http_listen", server_->http_address()},
            {"redis", redis_->address().ToString()}});
  while (!Interrupted(kHealthCheck)) {
    KLATCH_RETURN_IF_ERROR(node_->health());
    if (!redis_->Running()) {
      return base::WithReason(
          base::Error(absl::StatusCode::kUnavailable, "our redis-server has ended"), kReload);
    }
    if (redis_->moved()) {
      return base::WithReason(
          base::Error(absl::StatusCode::kUnavailable, "another Redis is the master now"), kReload);
    }
  }
  return base::Error(absl::StatusCode::kCancelled, "interrupted");
}

void Lifecycle::DrainOrExit(base::MonotonicTime deadline) {
  SetPhase("draining");
  obs::Log(obs::Level::kInfo, "klatchd", "draining", {});
  {
    std::lock_guard lock(mutex_);
    serving_ = nullptr;
  }
  server_->AnnounceStop();
  const auto grace = std::min(kWaitsGrace, options_.drain_timeout / kWaitsShare);
  absl::Status drained = node_->Drain(clock_.Monotonic() + grace, deadline);
  if (base::ReasonOf(drained) == kReload) {
    // No call is under way any more, and what is not written is in the log.
    obs::Log(obs::Level::kWarn, "klatchd", "Redis was restarted; left to the next start", {});
  } else if (!drained.ok()) {
    // Calls that are still under way may look at the node: there is no safe way to take it apart.
    // What is not written is in the log.
    obs::Log(obs::Level::kError, "klatchd", "not drained", {{"error", base::MessageOf(drained)}});
    std::_Exit(kExitMissed);
  }
  server_->Shutdown(clock_.Wall() + kAnswersGrace);
}

absl::Status Lifecycle::Unload(const absl::Status& why) {
  obs::Log(obs::Level::kWarn, "klatchd", "loading again", {{"reason", base::MessageOf(why)}});
  SetPhase("loading again: " + base::MessageOf(why));
  {
    std::lock_guard lock(mutex_);
    serving_ = nullptr;
  }
  server_->AnnounceStop();
  // What calls wait for is not applied any more, and of Redis they may as well not wait.
  node_->GiveUpRedis();
  const base::MonotonicTime now = clock_.Monotonic();
  if (!node_->CloseCalls(now, now + limits::kCallDeadlineDefault + kUnloadSlack)) {
    obs::Log(obs::Level::kError, "klatchd", "calls under way did not end", {});
    std::_Exit(kExitMissed);
  }
  server_->Shutdown(clock_.Wall() + kUnloadSlack);
  metrics_.Clear();
  server_.reset();
  node_.reset();
  redis_.reset();
  return absl::OkStatus();
}

obs::Readiness Lifecycle::readiness() {
  std::lock_guard lock(mutex_);
  if (serving_ != nullptr) {
    return serving_->readiness();
  }
  return {false, {phase_}};
}

void Lifecycle::SetPhase(std::string phase) {
  std::lock_guard lock(mutex_);
  phase_ = std::move(phase);
}

}  // namespace

int RunToCompletion(const KlatchdOptions& options) {
  google::protobuf::SetLogHandler(LogForProtobuf);
  gpr_set_log_function(LogForGrpc);
  return Lifecycle(options).Run();
}

}  // namespace klatch
