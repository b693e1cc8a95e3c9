#include "services/klatchd/redis_access.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <thread>

#include "common/base/hash.h"
#include "common/obs/log.h"
#include "common/redis/place.h"
#include "common/redis/probe.h"

namespace klatch {
namespace {

constexpr std::chrono::milliseconds kWaitPause{200};
constexpr std::chrono::seconds kReportEvery{5};
// A Redis that is silent for longer is asked again; between two questions a signal is noticed.
constexpr std::chrono::milliseconds kProbeTimeoutMax{1'000};
// For each Sentinel, to connect and to answer.
constexpr std::chrono::milliseconds kSentinelTimeout{300};
constexpr std::chrono::milliseconds kMasterLook{200};
constexpr size_t kNodeIdBytes = 8;

std::string Hex(std::string_view bytes) {
  std::string hex;
  for (const char c : bytes) {
    hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  }
  return hex;
}

absl::StatusOr<redis::Place> PlaceOf(const KlatchdOptions& options) {
  KLATCH_ASSIGN_OR_RETURN(redis::Place place, redis::Place::Parse(options.redis));
  if (place.is_by_tls()) {
    place.UseTls(options.redis_tls);
  }
  return place;
}

}  // namespace

absl::Status CheckRedisTls(const KlatchdOptions& options) {
  if (options.redis.empty()) {
    return absl::OkStatus();
  }
  KLATCH_ASSIGN_OR_RETURN(const redis::Place place, PlaceOf(options));
  if (!place.is_by_tls()) {
    return absl::OkStatus();
  }
  const absl::Status usable = redis::CheckTls(*place.address.tls);
  return usable.ok() ? usable : base::Annotate(usable, "TLS to Redis");
}

absl::StatusOr<std::unique_ptr<RedisAccess>> RedisAccess::Open(
    const KlatchdOptions& options, const base::Clock& clock,
    const std::function<bool()>& interrupted,
    const std::function<void(const std::string& reason)>& waiting) {
  std::unique_ptr<RedisAccess> access(new RedisAccess());
  // A redis-server of our own takes a moment to start, which is worth no line.
  base::MonotonicTime reported =
      options.redis.empty() ? clock.Monotonic() : clock.Monotonic() - kReportEvery;
  const auto report = [&](const std::string& reason) {
    waiting(reason);
    if (clock.Monotonic() - reported >= kReportEvery) {
      reported = clock.Monotonic();
      obs::Log(obs::Level::kWarn, "redis", "waiting for Redis", {{"error", reason}});
    }
  };
  while (true) {
    absl::Status status =
        access->OpenOnce(options, {.interrupted = interrupted, .waiting = report});
    if (status.ok()) {
      return access;
    }
    if (status.code() != absl::StatusCode::kUnavailable) {
      access->StopEmbedded(options.drain_timeout);
      return status;
    }
    report(base::MessageOf(status));
    std::this_thread::sleep_for(kWaitPause);
    if (interrupted()) {
      return base::Error(absl::StatusCode::kCancelled, "interrupted");
    }
  }
}

absl::Status RedisAccess::OpenOnce(const KlatchdOptions& options,
                                   const redis::EmbeddedServer::Watch& watch) {
  KLATCH_RETURN_IF_ERROR(options.redis.empty() ? OpenEmbedded(options, watch)
                                               : OpenExisting(options));
  return ReadNodeId(options.data_dir);
}

absl::Status RedisAccess::OpenEmbedded(const KlatchdOptions& options,
                                       const redis::EmbeddedServer::Watch& watch) {
  redis::EmbeddedServer::Options embedded;
  embedded.data_dir = options.data_dir;
  embedded.program = options.redis_server;
  // Members of a group are looked up by every post; in a list of up to 512, Redis's default, each
  // look-up is a scan (200 added to a group: 1.9 to 4.7 ms, with 64 it is 0.5 ms). The price is
  // about 50 bytes per membership.
  embedded.arguments = {
      "--hash-max-listpack-entries", "64",
      // From 64 MiB on, the default, a busy log is rewritten again and again, each time by a fork.
      "--auto-aof-rewrite-min-size", "512mb"};
  KLATCH_ASSIGN_OR_RETURN(embedded_,
                          redis::EmbeddedServer::StartOrAdopt(std::move(embedded), watch));
  address_ = embedded_->address();
  obs::Log(
      obs::Level::kInfo, "redis",
      embedded_->adopted() ? "adopted the redis-server that was running" : "started redis-server",
      {{"address", address_.ToString()}, {"process", int64_t{embedded_->process_id()}}});
  return absl::OkStatus();
}

absl::Status RedisAccess::OpenExisting(const KlatchdOptions& options) {
  if (!lock_) {
    std::error_code error;
    std::filesystem::create_directories(options.data_dir, error);
    if (error) {
      return base::Error(absl::StatusCode::kFailedPrecondition,
                         fmt::format("--data-dir {}: {}", options.data_dir, error.message()));
    }
    KLATCH_ASSIGN_OR_RETURN(lock_, base::FileLock::Acquire(options.data_dir + "/lock"));
  }
  KLATCH_ASSIGN_OR_RETURN(const redis::Place place, PlaceOf(options));
  KLATCH_ASSIGN_OR_RETURN(redis::Master master, redis::FindMaster(place, kSentinelTimeout));
  address_ = master.address;
  redis::Connection::Options connection;
  connection.call_timeout = std::min(options.redis_call_timeout, kProbeTimeoutMax);
  const absl::Status probed = redis::Probe(address_, connection).status();
  if (!place.has_sentinels()) {
    return probed;
  }
  if (absl::IsFailedPrecondition(probed)) {
    // Perhaps a master that was one a moment ago; the Sentinels will say who is next.
    return base::Error(absl::StatusCode::kUnavailable, base::MessageOf(probed));
  }
  KLATCH_RETURN_IF_ERROR(probed);
  watch_ =
      std::make_unique<redis::MasterWatch>(place, std::move(master), kMasterLook, kSentinelTimeout);
  return absl::OkStatus();
}

absl::Status RedisAccess::ReadNodeId(const std::string& data_dir) {
  const std::string path = data_dir + "/node-id";
  std::ifstream in(path);
  if (in >> node_id_ && !node_id_.empty()) {
    return absl::OkStatus();
  }
  node_id_ = Hex(base::RandomBytes(kNodeIdBytes));
  std::ofstream out(path, std::ios::trunc);
  out << node_id_ << '\n';
  out.flush();
  return out ? absl::OkStatus()
             : base::Error(absl::StatusCode::kFailedPrecondition,
                           fmt::format("can't write {}", path));
}

void RedisAccess::StopEmbedded(std::chrono::milliseconds limit) {
  if (!embedded_) {
    return;
  }
  absl::Status stopped = embedded_->Stop(limit);
  if (!stopped.ok()) {
    obs::Log(obs::Level::kError, "redis", "redis-server did not end",
             {{"error", base::MessageOf(stopped)}});
  }
}

}  // namespace klatch
