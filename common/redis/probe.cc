#include "common/redis/probe.h"

#include <fmt/format.h>

#include <charconv>
#include <string_view>
#include <unordered_map>

#include "common/redis/channel.h"

namespace klatch::redis {
namespace {

constexpr int kMajorVersionMin = 7;

using Info = std::unordered_map<std::string_view, std::string_view>;

// The views look into `text`. Lines are "name:value", sections "# Name".
Info ParseInfo(std::string_view text) {
  Info info;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    }
    const size_t colon = line.find(':');
    if (colon != std::string_view::npos && !line.starts_with('#')) {
      info.emplace(line.substr(0, colon), line.substr(colon + 1));
    }
  }
  return info;
}

std::string_view Text(const Info& info, std::string_view name) {
  auto it = info.find(name);
  return it == info.end() ? std::string_view() : it->second;
}

// The number that the value begins with; 0 if it begins with none.
int64_t Number(std::string_view text) {
  int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

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
  if (Text(info, "redis_mode") == "sentinel") {
    return Final(connection, "a Sentinel, not a Redis; give the address of the master itself");
  }
  const std::string_view version = Text(info, "redis_version");
  if (version.empty()) {
    return Final(connection, "not a Redis (wrong port?)");
  }
  if (Number(version) < kMajorVersionMin) {
    return Final(connection, fmt::format("Redis {} is too old; 7.0 or newer is needed", version));
  }
  const std::string_view role = Text(info, "role");
  if (role == "slave") {
    return Final(connection, fmt::format("a replica of {}:{}; give the address of the master",
                                         Text(info, "master_host"), Text(info, "master_port")));
  }
  if (role != "master") {
    return Final(connection, fmt::format("its role is \"{}\", not master", role));
  }
  if (Number(Text(info, "loading")) != 0) {
    return base::Error(
        absl::StatusCode::kUnavailable,
        fmt::format("{}: still loading its data ({} %)", connection.address().ToString(),
                    Number(Text(info, "loading_loaded_perc"))));
  }
  return absl::OkStatus();
}

// CONFIG is often forbidden on hosted servers, so what it adds must not be needed.
absl::Status AddConfig(Connection& connection, ServerFacts& facts) {
  const Command command{"CONFIG", "GET", "maxmemory-policy", "dir"};
  KLATCH_ASSIGN_OR_RETURN(auto replies, connection.CallAll({&command, 1}));
  const ReplyView config = replies[0].view();
  for (size_t i = 0; i + 1 < config.size(); i += 2) {
    if (config[i].text() == "maxmemory-policy") {
      facts.maxmemory_policy = config[i + 1].text();
    } else if (config[i].text() == "dir") {
      facts.directory = config[i + 1].text();
    }
  }
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
  facts.version = Text(info, "redis_version");
  facts.run_id = Text(info, "run_id");
  facts.process_id = Number(Text(info, "process_id"));
  facts.mode = Text(info, "redis_mode");
  facts.maxmemory_policy = Text(info, "maxmemory_policy");
  facts.maxmemory_bytes = static_cast<uint64_t>(Number(Text(info, "maxmemory")));
  facts.append_only = Number(Text(info, "aof_enabled")) != 0;
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
