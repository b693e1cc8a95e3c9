#include "common/redis/probe.h"

#include <fmt/format.h>

#include <string_view>

#include "common/redis/channel.h"
#include "common/redis/info.h"

namespace klatch::redis {
namespace {

constexpr int kMajorVersionMin = 7;

absl::Status Final(const Connection& connection, std::string_view what) {
  return base::Error(absl::StatusCode::kFailedPrecondition,
                     fmt::format("{}: {}", connection.address().ToString(), what));
}

// Why INFO failed, as a person would say it.
absl::Status Explain(const Connection& connection, const absl::Status& status) {
  const std::string message = base::MessageOf(status);
  if (base::ReasonOf(status) == kReasonProtocolError) {
    return Final(connection, "not a Redis (wrong port?)");
  }
  if (absl::IsUnavailable(status) && !RefusesUser(status)) {
    return status;
  }
  if (RefusesUser(status)) {
    const bool needs_password = message.find("NOAUTH") != std::string::npos;
    return base::Error(absl::StatusCode::kPermissionDenied,
                       needs_password
                           ? fmt::format("{}: needs a password; give it in the address, as in "
                                         "redis://:password@host:port",
                                         connection.address().ToString())
                           : fmt::format("{}: the user may not run INFO: {}",
                                         connection.address().ToString(), message));
  }
  return Final(connection, fmt::format("does not answer INFO like a Redis: {}", message));
}

absl::Status CheckServer(const Connection& connection, const Info& info) {
  if (InfoText(info, "redis_mode") == "sentinel") {
    return Final(connection, "a Sentinel, not a Redis; give the address of the master itself");
  }
  const std::string_view version = InfoText(info, "redis_version");
  if (version.empty()) {
    return Final(connection, "not a Redis (wrong port?)");
  }
  if (InfoNumber(version) < kMajorVersionMin) {
    return Final(connection, fmt::format("Redis {} is too old; 7.0 or newer is needed", version));
  }
  const std::string_view role = InfoText(info, "role");
  if (role == "slave") {
    return Final(connection,
                 fmt::format("a replica of {}:{}; give the address of the master",
                             InfoText(info, "master_host"), InfoText(info, "master_port")));
  }
  if (role != "master") {
    return Final(connection, fmt::format("its role is \"{}\", not master", role));
  }
  if (InfoNumber(InfoText(info, "loading")) != 0) {
    return base::Error(
        absl::StatusCode::kUnavailable,
        fmt::format("{}: still loading its data ({} %)", connection.address().ToString(),
                    InfoNumber(InfoText(info, "loading_loaded_perc"))));
  }
  return absl::OkStatus();
}

// CONFIG is often forbidden on hosted servers, so what it adds must not be needed.
absl::Status AddConfig(Connection& connection, ServerFacts& facts) {
  const Command command{"CONFIG", "GET", "maxmemory-policy", "dir"};
  KLATCH_ASSIGN_OR_RETURN(auto replies, connection.CallAll({&command, 1}));
  const ReplyView config = replies[0].view();
  if (const std::string_view policy = ConfigText(config, "maxmemory-policy"); !policy.empty()) {
    facts.maxmemory_policy = policy;
  }
  facts.directory = ConfigText(config, "dir");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ServerFacts> Probe(Connection& connection) {
  auto reply = connection.Call({"INFO"});
  if (!reply.ok()) {
    return Explain(connection, reply.status());
  }
  const Info info = ParseInfo(reply->text());
  KLATCH_RETURN_IF_ERROR(CheckServer(connection, info));
  ServerFacts facts;
  facts.version = InfoText(info, "redis_version");
  facts.run_id = InfoText(info, "run_id");
  facts.process_id = InfoNumber(InfoText(info, "process_id"));
  facts.mode = InfoText(info, "redis_mode");
  facts.maxmemory_policy = InfoText(info, "maxmemory_policy");
  facts.maxmemory_bytes = static_cast<uint64_t>(InfoNumber(InfoText(info, "maxmemory")));
  facts.append_only = InfoNumber(InfoText(info, "aof_enabled")) != 0;
  KLATCH_RETURN_IF_ERROR(AddConfig(connection, facts));
  if (facts.maxmemory_policy != "noeviction") {
    return Final(connection, fmt::format("maxmemory-policy is \"{}\", so Redis may drop data; set "
                                         "maxmemory-policy noeviction",
                                         facts.maxmemory_policy));
  }
  return facts;
}

absl::StatusOr<ServerFacts> Probe(const Address& address, const Connection::Options& options) {
  KLATCH_ASSIGN_OR_RETURN(auto connection, Connection::Connect(address, options));
  return Probe(*connection);
}

}  // namespace klatch::redis
