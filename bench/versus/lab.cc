#include "bench/versus/lab.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <thread>

#include "bench/load/scrape.h"
#include "common/base/standard_streams.h"

namespace klatch::versus {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kStartTimeMax{120};
constexpr std::chrono::seconds kFlushWait{60};
constexpr std::chrono::milliseconds kLookAgain{20};
constexpr std::chrono::milliseconds kLookMeanwhile{250};

// A flusher's pass begins every quarter of a second.
const std::vector<std::string> kNodeRules = {"--flush-interval", "250ms"};
// Of both sides alike. A rewrite of the append-only file would fall into one slice and not the other.
const std::vector<std::string> kRedisRules = {"--port",
                                              "0",
                                              "--save",
                                              "",
                                              "--appendonly",
                                              "yes",
                                              "--appendfsync",
                                              "everysec",
                                              "--auto-aof-rewrite-percentage",
                                              "0",
                                              "--maxmemory-policy",
                                              "noeviction",
                                              "--daemonize",
                                              "no"};

std::string SelfPath() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).string();
}

// What stands behind the message in the log's line that says it; empty if none does.
std::string_view LogLine(std::string_view log, std::string_view message) {
  const size_t found = log.find(fmt::format("\"msg\":\"{}\"", message));
  return found == std::string_view::npos ? "" : log.substr(found, log.find('\n', found) - found);
}

// The text between the quotes behind "name": in the log's line that says `message`.
std::string LogField(std::string_view log, std::string_view message, std::string_view name) {
  const std::string_view line = LogLine(log, message);
  const std::string key = fmt::format("\"{}\":\"", name);
  const size_t begin = line.find(key);
  if (begin == std::string_view::npos) {
    return "";
  }
  const std::string_view value = line.substr(begin + key.size());
  return std::string(value.substr(0, value.find('"')));
}

absl::StatusOr<double> NumberBehind(std::string_view text, std::string_view label) {
  double value = 0;
  const size_t found = text.find(label);
  if (found != std::string_view::npos) {
    const std::string_view rest = text.substr(found + label.size());
    if (std::from_chars(rest.data(), rest.data() + rest.size(), value).ec == std::errc()) {
      return value;
    }
  }
  return base::Error(absl::StatusCode::kInternal, fmt::format("no {} in the answer", label));
}

// The summary that `play --json` ends with.
absl::StatusOr<PlayResult> ReadSummary(std::string output) {
  while (!output.empty() && output.back() == '\n') {
    output.pop_back();
  }
  const size_t line = output.rfind('\n');
  const std::string_view json =
      std::string_view(output).substr(line == std::string::npos ? 0 : line);
  PlayResult result;
  KLATCH_ASSIGN_OR_RETURN(result.deliveries, NumberBehind(json, "\"deliveries\":"));
  KLATCH_ASSIGN_OR_RETURN(result.seconds, NumberBehind(json, "\"seconds\":"));
  KLATCH_ASSIGN_OR_RETURN(result.published, NumberBehind(json, "\"published\":"));
  KLATCH_ASSIGN_OR_RETURN(result.publish_p99_us, NumberBehind(json, "\"publish_p99_us\":"));
  return result;
}

}  // namespace

void Say(std::string_view text) {
  static_cast<void>(base::WriteAll(STDERR_FILENO, fmt::format("versus: {}\n", text)));
}

void SayProgress(std::string_view text) {
  static const auto begun = std::chrono::steady_clock::now();
  const auto passed =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - begun);
  Say(fmt::format("{:02}:{:02} {}", passed.count() / 60, passed.count() % 60, text));
}

absl::StatusOr<std::string> FindKlatchd(const VersusOptions& options) {
  if (!options.klatchd.empty()) {
    return FindProgram(options.klatchd, ": see --klatchd");
  }
  const fs::path here = fs::path(SelfPath()).parent_path();
  // Installed side by side, or as the build lays them out.
  for (const fs::path& beside : {here / "klatchd", here / "../../services/klatchd/klatchd"}) {
    if (access(beside.c_str(), X_OK) == 0) {
      return beside.lexically_normal().string();
    }
  }
  return FindProgram("klatchd", ": see --klatchd");
}

absl::StatusOr<std::string> FindRedisServer(const VersusOptions& options) {
  return FindProgram(options.redis_server, " (apt-get install redis-server)");
}

absl::StatusOr<std::string> FindNatsServer(const VersusOptions& options) {
  return FindProgram(options.nats_server, " (apt-get install nats-server)");
}

absl::StatusOr<double> RedisHost::Info(std::string_view section, std::string_view name) const {
  KLATCH_ASSIGN_OR_RETURN(const auto connection, Connect());
  KLATCH_ASSIGN_OR_RETURN(const redis::Reply info,
                          connection->Call({"INFO", std::string(section)}));
  return NumberBehind(info.text(), fmt::format("\n{}:", name));
}

absl::StatusOr<std::unique_ptr<redis::Connection>> RedisHost::Connect() const {
  return redis::Connection::Connect(address_, {.call_timeout = std::chrono::seconds(60)});
}

absl::StatusOr<double> NodeHost::Metric(std::string_view name) const {
  KLATCH_ASSIGN_OR_RETURN(const auto scraper, load::Scraper::Make(metrics_));
  const auto page = scraper->Scrape();
  const auto value = page.has_value() ? load::MetricValue(*page, name) : std::nullopt;
  if (!value.has_value()) {
    return base::Error(absl::StatusCode::kUnavailable,
                       fmt::format("{}/metrics does not say {}", metrics_, name));
  }
  return *value;
}

absl::StatusOr<double> NodeHost::LogNumber(std::string_view message, std::string_view field) const {
  const std::string log = process_->Log();
  return NumberBehind(LogLine(log, message), fmt::format("\"{}\":", field));
}

absl::Status NodeHost::AwaitFlushed() const {
  const auto deadline = std::chrono::steady_clock::now() + kFlushWait;
  while (std::chrono::steady_clock::now() < deadline) {
    KLATCH_ASSIGN_OR_RETURN(const double entries, Metric("klatch_unflushed_entries"));
    KLATCH_ASSIGN_OR_RETURN(const double memberships, Metric("klatch_unflushed_memberships"));
    if (entries + memberships == 0) {
      return absl::OkStatus();
    }
    std::this_thread::sleep_for(kLookAgain);
  }
  return base::Error(absl::StatusCode::kDeadlineExceeded,
                     "what was written does not come to Redis");
}

absl::StatusOr<std::unique_ptr<Lab>> Lab::Open(const VersusOptions& options,
                                               const std::atomic<bool>& interrupted) {
  std::unique_ptr<Lab> lab(new Lab(options, interrupted));
  std::error_code error;
  if (options.work_dir.empty()) {
    std::string pattern = (fs::temp_directory_path(error) / "klatch-versus-XXXXXX").string();
    if (error || mkdtemp(pattern.data()) == nullptr) {
      return base::Error(absl::StatusCode::kNotFound, "no temporary folder: see --work-dir");
    }
    lab->folder_ = pattern;
    lab->is_temporary_ = true;
    return lab;
  }
  fs::create_directories(options.work_dir, error);
  lab->folder_ = fs::absolute(options.work_dir, error);
  if (error || !fs::is_empty(lab->folder_, error)) {
    return base::Error(absl::StatusCode::kInvalidArgument,
                       fmt::format("--work-dir {} is no empty folder", options.work_dir));
  }
  return lab;
}

Lab::~Lab() {
  if (is_temporary_) {
    std::error_code ignored;  // What stays in a temporary folder harms nobody.
    fs::remove_all(folder_, ignored);
  }
}

absl::Status Lab::Await(Process& process, std::string_view what,
                        const std::function<bool()>& ready) {
  const auto deadline = std::chrono::steady_clock::now() + kStartTimeMax;
  while (!ready()) {
    if (interrupted()) {
      return base::Error(absl::StatusCode::kCancelled, "interrupted");
    }
    if (process.Ended().has_value() || std::chrono::steady_clock::now() > deadline) {
      return base::Error(absl::StatusCode::kInternal,
                         fmt::format("{} does not serve: {}", what, process.LastLogLine()));
    }
    std::this_thread::sleep_for(kLookAgain);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<RedisHost>> Lab::StartRedis(const std::string& name) {
  KLATCH_ASSIGN_OR_RETURN(const std::string program, FindRedisServer(options_));
  const fs::path data = folder_ / name;
  std::error_code error;
  fs::create_directory(data, error);
  redis::Address address;
  address.socket_path = folder_ / (name + ".sock");
  std::vector<std::string> argv = {program, "--unixsocket", address.socket_path, "--dir", data};
  argv.insert(argv.end(), kRedisRules.begin(), kRedisRules.end());
  KLATCH_ASSIGN_OR_RETURN(auto process, Process::Start(argv, folder_, name));
  KLATCH_RETURN_IF_ERROR(Await(*process, "redis-server", [&address] {
    auto connection = redis::Connection::Connect(address, {});
    return connection.ok() && (*connection)->Call({"PING"}).ok();
  }));
  return std::make_unique<RedisHost>(std::move(process), std::move(address));
}

absl::StatusOr<std::unique_ptr<NodeHost>> Lab::StartNode(const std::string& name,
                                                         const RedisHost& redis,
                                                         const std::vector<std::string>& more) {
  KLATCH_ASSIGN_OR_RETURN(const std::string program, FindKlatchd(options_));
  std::vector<std::string> argv = {program,
                                   "--redis",
                                   redis.uri(),
                                   "--data-dir",
                                   (folder_ / name).string(),
                                   "--listen",
                                   "unix:" + (folder_ / (name + ".sock")).string(),
                                   "--metrics-listen",
                                   "127.0.0.1:0"};
  argv.insert(argv.end(), kNodeRules.begin(), kNodeRules.end());
  argv.insert(argv.end(), more.begin(), more.end());
  KLATCH_ASSIGN_OR_RETURN(auto process, Process::Start(argv, folder_, name));
  std::string metrics;
  KLATCH_RETURN_IF_ERROR(Await(*process, "klatchd", [&process, &metrics] {
    metrics = LogField(process->Log(), "serving", "metrics");
    return !metrics.empty();
  }));
  // As the node has it: `more` may name another address.
  const std::string target = LogField(process->Log(), "serving", "listen");
  return std::make_unique<NodeHost>(std::move(process), target, metrics);
}

absl::StatusOr<std::unique_ptr<NatsHost>> Lab::StartNats(const std::string& name) {
  KLATCH_ASSIGN_OR_RETURN(const std::string program, FindNatsServer(options_));
  KLATCH_ASSIGN_OR_RETURN(
      auto process,
      Process::Start({program, "--addr", "127.0.0.1", "--port", "-1"}, folder_, name));
  // "… Listening for client connections on 127.0.0.1:36549".
  double port = 0;
  KLATCH_RETURN_IF_ERROR(Await(*process, "nats-server", [&process, &port] {
    auto said = NumberBehind(process->Log(), "client connections on 127.0.0.1:");
    port = said.ok() ? *said : 0;
    return port != 0 && process->Log().find("Server is ready") != std::string::npos;
  }));
  return std::make_unique<NatsHost>(std::move(process), static_cast<int>(port));
}

absl::StatusOr<std::unique_ptr<Process>> Lab::StartPeer(const std::string& name,
                                                        const std::string& what,
                                                        std::string* listen) {
  const std::string socket = (folder_ / (name + ".sock")).string();
  *listen = "unix:" + socket;
  KLATCH_ASSIGN_OR_RETURN(
      auto process,
      Process::Start({SelfPath(), "versus", "--serve", what, "--listen", *listen}, folder_, name));
  KLATCH_RETURN_IF_ERROR(Await(*process, "the peer", [&socket] { return fs::exists(socket); }));
  return process;
}

absl::StatusOr<PlayResult> Lab::Play(const NodeHost& node, const RedisHost& redis,
                                     const std::vector<std::string>& arguments,
                                     const std::function<void()>& meanwhile) {
  std::vector<std::string> argv = {SelfPath(), "play", "--json", "--target", node.target(),
                                   "--metrics", node.metrics(), "--redis", redis.uri(),
                                   // Posts alone: the peers have nothing else to do either.
                                   "--arrivals", "closed", "--churn", "0", "--revisions", "0",
                                   "--several", "0", "--watched", "0", "--quarrels", "0",
                                   "--probers", "0", "--show-timelines", "0", "--seed",
                                   std::to_string(options_.seed)};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  KLATCH_ASSIGN_OR_RETURN(auto play,
                          Process::Start(argv, folder_, fmt::format("play-{}", ++plays_)));
  while (!play->Ended().has_value()) {
    if (interrupted()) {
      return base::Error(absl::StatusCode::kCancelled, "interrupted");
    }
    meanwhile();
    std::this_thread::sleep_for(kLookMeanwhile);
  }
  if (*play->Ended() == 1) {
    Say(play->Output());
    return base::Error(absl::StatusCode::kDataLoss, "the checks of the load found faults");
  }
  if (*play->Ended() != 0) {
    return base::Error(absl::StatusCode::kInternal, play->LastLogLine());
  }
  return ReadSummary(play->Output());
}

}  // namespace klatch::versus
