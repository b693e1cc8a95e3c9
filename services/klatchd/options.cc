#include "services/klatchd/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/base/endpoint.h"
#include "common/redis/place.h"

namespace klatch {
namespace {

using base::OptionTable;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr int64_t kKiB = int64_t{1} << 10;
constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kGiB = int64_t{1} << 30;
constexpr int64_t kTiB = int64_t{1} << 40;

constexpr size_t kNamespacesMax = 1;
constexpr size_t kNamespaceBytesMax = 32;

absl::Status Invalid(std::string_view message) {
  return base::Error(absl::StatusCode::kInvalidArgument, message);
}

absl::Status CheckListen(std::string_view text) { return base::Endpoint::Parse(text).status(); }

absl::Status CheckTcpListen(std::string_view text) {
  if (text.empty()) {
    return absl::OkStatus();
  }
  KLATCH_ASSIGN_OR_RETURN(const base::Endpoint endpoint, base::Endpoint::Parse(text));
  return endpoint.is_unix() ? Invalid("wants host:port, or nothing to turn it off")
                            : absl::OkStatus();
}

absl::Status CheckRedis(std::string_view text) {
  return text.empty() ? absl::OkStatus() : redis::Place::Parse(text).status();
}

absl::Status CheckNotEmpty(std::string_view text) {
  return text.empty() ? Invalid("wants a path") : absl::OkStatus();
}

absl::Status CheckNamespace(std::string_view name) {
  const bool letters = std::ranges::all_of(
      name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
  return letters && name.size() <= kNamespaceBytesMax
             ? absl::OkStatus()
             : Invalid(fmt::format("is no name of 1 to {} of the characters a-z, 0-9 and -",
                                   kNamespaceBytesMax));
}

void AddAddresses(OptionTable& table, KlatchdOptions& options) {
  table.Add(
      {.name = "listen",
       .group = "Addresses",
       .description = "Where the gRPC API is served: host:port (0: a free port) or unix:/path",
       .example = "unix:/run/klatch.sock",
       .value = base::Text(&options.listen, CheckListen)});
  table.Add(
      {.name = "metrics-listen",
       .group = "Addresses",
       .description = "Where /metrics, /livez and /readyz are served, as host:port; empty: nowhere",
       .example = "127.0.0.1:0",
       .value = base::Text(&options.metrics_listen, CheckTcpListen)});
  table.Add({.name = "http-listen",
             .group = "Addresses",
             .description =
                 "Where the same API is served over HTTP with JSON, as host:port; empty: "
                 "nowhere",
             .example = "127.0.0.1:7422",
             .value = base::Text(&options.http_listen, CheckTcpListen)});
  table.Add({.name = "insecure",
             .group = "Addresses",
             .description =
                 "Allow plain text away from loopback: whoever reaches the port is trusted "
                 "to act for anybody",
             .value = base::Flag(&options.insecure)});
}

void AddAccess(OptionTable& table, KlatchdOptions& options) {
  table.Add({.name = "tls-cert",
             .group = "Access",
             .description = "File in PEM with the certificate of the API and those that have "
                            "signed it; read again when it changes; empty: plain text",
             .example = "/etc/klatch/tls.crt",
             .value = base::Text(&options.tls_cert)});
  table.Add({.name = "tls-key",
             .group = "Access",
             .description = "File in PEM with the private key of --tls-cert",
             .example = "/etc/klatch/tls.key",
             .value = base::Text(&options.tls_key)});
  table.Add({.name = "tls-client-ca",
             .group = "Access",
             .description = "File in PEM with those who sign certificates of clients; clients must "
                            "have one, unless there are --token-keys",
             .example = "/etc/klatch/clients.crt",
             .value = base::Text(&options.tls_client_ca)});
  table.Add({.name = "policy",
             .group = "Access",
             .description = "File in TOML that says who may call what, and for whom; what it "
                            "doesn't allow is denied; empty: whoever reaches the port is trusted",
             .example = "/etc/klatch/policy.toml",
             .value = base::Text(&options.policy)});
  table.Add({.name = "token-keys",
             .group = "Access",
             .description = "Folder with the public keys <kid>.pem of those who issue tokens",
             .example = "/etc/klatch/keys",
             .value = base::Text(&options.token_keys)});
  table.Add({.name = "audit",
             .group = "Access",
             .description = "A line of the log for each call that changes groups, members or "
                            "blocks, imports, or is for operators",
             .value = base::Flag(&options.audit)});
}

void AddStorage(OptionTable& table, KlatchdOptions& options) {
  table.Add({.name = "redis",
             .group = "Storage",
             .description =
                 "An existing Redis 7 or later, or where Sentinels say that it is; empty: "
                 "a redis-server of klatchd's own under --data-dir",
             .example = "redis://user:password@127.0.0.1:6379",
             .value = base::Text(&options.redis, CheckRedis),
             .redact = redis::Place::Redacted});
  table.Add({.name = "redis-tls-ca",
             .group = "Storage",
             .description = "File in PEM with those who sign the certificate of Redis, where "
                            "--redis is rediss://; empty: whom the machine trusts",
             .example = "/etc/klatch/redis-ca.crt",
             .value = base::Text(&options.redis_tls.ca_file)});
  table.Add({.name = "redis-tls-cert",
             .group = "Storage",
             .description = "File in PEM with the certificate that is shown to Redis",
             .example = "/etc/klatch/redis.crt",
             .value = base::Text(&options.redis_tls.cert_file)});
  table.Add({.name = "redis-tls-key",
             .group = "Storage",
             .description = "File in PEM with the private key of --redis-tls-cert",
             .example = "/etc/klatch/redis.key",
             .value = base::Text(&options.redis_tls.key_file)});
  table.Add({.name = "redis-tls-server-name",
             .group = "Storage",
             .description = "Whom the certificate of Redis must be for; empty: the host of its "
                            "address",
             .example = "redis.example.org",
             .value = base::Text(&options.redis_tls.server_name)});
  table.Add({.name = "redis-server",
             .group = "Storage",
             .description = "The program that is started as klatchd's own Redis",
             .example = "/usr/bin/redis-server",
             .value = base::Text(&options.redis_server, CheckNotEmpty)});
  table.Add({.name = "data-dir",
             .group = "Storage",
             .description = "Folder for the lock of this node and the data of its own Redis",
             .example = "/var/lib/klatch",
             .value = base::Text(&options.data_dir, CheckNotEmpty)});
  table.Add({.name = "redis-call-timeout",
             .group = "Storage",
             .description =
                 "After this long without an answer a call to Redis has an unknown outcome "
                 "and its connection is replaced",
             .value = base::Duration(&options.redis_call_timeout, milliseconds(100), seconds(60))});
  table.Add({.name = "ack",
             .group = "Storage",
             .description = "The copies that a write waits for where the call says nothing else: "
                            "local, the master; replicated, a replica too; strict, the master's "
                            "disk and all replicas that are in sync",
             .value = base::Choice(&options.ack, {{"local", AckClass::kLocal},
                                                  {"replicated", AckClass::kReplicated},
                                                  {"strict", AckClass::kStrict}})});
  table.Add({.name = "ack-timeout",
             .group = "Storage",
             .description = "A write whose copies are not known of after this long has an unknown "
                            "outcome",
             .value = base::Duration(&options.ack_timeout, milliseconds(10), seconds(60))});
  table.Add({.name = "strict-replicas",
             .group = "Storage",
             .description = "How many replicas in sync a strict write needs at least",
             .value = base::Count(&options.strict_replicas, 0, 100)});
}

void AddLayout(OptionTable& table, KlatchdOptions& options) {
  table.Add({.name = "namespaces",
             .group = "Layout",
             .description =
                 "The namespaces that this node serves, for now exactly one; the first is "
                 "the one meant by calls that name none",
             .example = "staging",
             .value = base::List(&options.namespaces, kNamespacesMax, CheckNamespace)});
  table.Add({.name = "shards",
             .group = "Layout",
             .description = "Logs of a namespace; fixed when the namespace is made",
             .value = base::Count(&options.shards, 1, 1024)});
  table.Add(
      {.name = "partitions",
       .group = "Layout",
       .description = "Slices of the persons of a namespace; fixed when the namespace is made",
       .value = base::Count(&options.partitions, 1, 4096)});
  table.Add({.name = "body-retention",
             .group = "Layout",
             .description = "How long an update is kept",
             .value = base::Duration(&options.body_retention, minutes(1), hours(24 * 3650))});
  table.Add({.name = "expire-min",
             .group = "Layout",
             .description =
                 "How far ahead the expiry of an update must be at least, and for how long "
                 "a group must keep its past",
             .value = base::Duration(&options.expire_min, milliseconds(100), hours(24))});
  table.Add({.name = "group-updates-max",
             .group = "Layout",
             .description = "How many of its newest updates a group keeps; 0: no such bound",
             .value = base::Count(&options.group_updates_max, 0, limits::kKeepCountMax)});
  table.Add({.name = "group-bytes-max",
             .group = "Layout",
             .description = "How many bytes of its newest updates a group keeps; 0: no such bound",
             .value = base::Bytes(&options.group_bytes_max, 0, kTiB)});
  table.Add({.name = "log-retention",
             .group = "Layout",
             .description = "How long records of the log are kept after all timelines have them",
             .value = base::Duration(&options.log_retention, seconds(1), hours(24 * 30))});
  table.Add({.name = "log-max",
             .group = "Layout",
             .description = "A shard's log that takes more than this keeps only what a restart "
                            "would replay",
             .value = base::Bytes(&options.log_bytes_max, 64 * kKiB, kTiB)});
  table.Add(
      {.name = "once-retention",
       .group = "Layout",
       .description = "How long a request id is remembered, so that a retry does nothing twice",
       .value = base::Duration(&options.once_retention, minutes(1), hours(24 * 30))});
}

void AddThreads(OptionTable& table, KlatchdOptions& options) {
  table.Add({.name = "workers",
             .group = "Threads",
             .description = "Threads that deliver; 0: one per core",
             .value = base::Count(&options.workers, 0, 256)});
  table.Add({.name = "call-threads",
             .group = "Threads",
             .description = "Threads on which calls continue after a wait",
             .value = base::Count(&options.call_threads, 1, 256)});
}

void AddDelivery(OptionTable& table, KlatchdOptions& options) {
  table.Add({.name = "flush-interval",
             .group = "Delivery",
             .description = "How long an entry of a timeline waits in memory at most before it is "
                            "written to Redis",
             .example = "250ms",
             .value = base::Duration(&options.flush_interval, milliseconds(10), seconds(60))});
  table.Add({.name = "lease-duration",
             .group = "Delivery",
             .description = "How long a node that stopped keeps its partitions from others",
             .value = base::Duration(&options.lease_duration, milliseconds(500), seconds(60))});
  table.Add({.name = "stale-after",
             .group = "Delivery",
             .description = "After this long without news from Redis pages call themselves stale",
             .value = base::Duration(&options.stale_after, milliseconds(100), minutes(10))});
  table.Add({.name = "pull-above",
             .group = "Delivery",
             .description = "A group of more members is read from its feed instead of being copied "
                            "to each, until it has fewer than four fifths of that; 0: none is",
             .value = base::Count(&options.pull_above, 0, 100'000'000)});
  table.Add({.name = "quiet-after",
             .group = "Delivery",
             .description = "Who has not read their home timeline for so long gets no copies until "
                            "they do; 0s: everybody does",
             .value = base::Duration(&options.quiet_after, milliseconds(0), hours(24 * 3650))});
  table.Add(
      {.name = "admission-queue-time",
       .group = "Delivery",
       .description = "Posts are refused when they would wait longer than this for Redis",
       .value = base::Duration(&options.admission_queue_time, milliseconds(10), seconds(60))});
  table.Add(
      {.name = "admission-flush-age",
       .group = "Delivery",
       .description = "Posts are refused when an entry has waited longer than this to be written",
       .value = base::Duration(&options.admission_flush_age, milliseconds(100), minutes(10))});
  table.Add({.name = "actor-posts-max",
             .group = "Delivery",
             .description = "Posts of one actor a second, each counted once for each group "
                            "that it names; 0: no bound",
             .value = base::Count(&options.actor_posts_max, 0, 1'000'000)});
  table.Add(
      {.name = "actor-posts-burst",
       .group = "Delivery",
       .description = "How many of them pass at once after a pause",
       .value = base::Count(&options.actor_posts_burst, limits::kGroupsPerUpdateMax, 1'000'000)});
}

void AddBounds(OptionTable& table, KlatchdOptions& options) {
  table.Add({.name = "message-max",
             .group = "Bounds",
             .description = "Largest request that is read",
             .value = base::Bytes(&options.message_bytes_max, 64 * kKiB, 4 * kMiB)});
  table.Add({.name = "person-groups-max",
             .group = "Bounds",
             .description = "How many groups one person may be in; who is in as many can neither "
                            "be added to another nor create one; 0: no such bound",
             .value = base::Count(&options.person_groups_max, 0, 1'000'000)});
  table.Add({.name = "calls-max",
             .group = "Bounds",
             .description = "Calls under way at once; more are refused",
             .value = base::Count(&options.calls_max, 1, 1'000'000)});
  table.Add({.name = "streams-max",
             .group = "Bounds",
             .description = "Calls at once on one connection",
             .value = base::Count(&options.streams_max, 1, 100'000)});
  table.Add({.name = "connections-max",
             .group = "Bounds",
             .description = "Connections over gRPC at once, half of them from one address; more "
                            "are refused",
             .value = base::Count(&options.connections_max, 2, 1'000'000)});
  table.Add({.name = "connection-age-max",
             .group = "Bounds",
             .description = "A connection over gRPC that is older, give or take a tenth, takes no "
                            "more calls, and ends a minute later; 0s: none is",
             .value = base::Duration(&options.connection_age_max, milliseconds(0), hours(24 * 7))});
  table.Add({.name = "http-connections-max",
             .group = "Bounds",
             .description = "Connections over HTTP at once; more are refused",
             .value = base::Count(&options.http_connections_max, 1, 100'000)});
  table.Add(
      {.name = "watches-max",
       .group = "Bounds",
       .description = "Streams that watch at once, which count as calls too; more are refused",
       .value = base::Count(&options.watches_max, 1, 1'000'000)});
  table.Add(
      {.name = "watch-stall-max",
       .group = "Bounds",
       .description = "How long a watch waits for its client to take a message before it ends",
       .value = base::Duration(&options.watch_stall_max, seconds(1), minutes(10))});
  table.Add({.name = "watched-persons-max",
             .group = "Bounds",
             .description = "Persons watched at once on all streams; more are refused",
             .value = base::Count(&options.watched_persons_max, 1, 100'000'000)});
  table.Add({.name = "persons-max",
             .group = "Bounds",
             .description = "Persons that this node holds in memory",
             .value = base::Count(&options.persons_max, 1'000, 100'000'000)});
  table.Add({.name = "groups-max",
             .group = "Bounds",
             .description = "Groups that this node holds in memory",
             .value = base::Count(&options.groups_max, 1'000, 100'000'000)});
}

void AddMemory(OptionTable& table, KlatchdOptions& options) {
  table.Add({.name = "timeline-memory",
             .group = "Memory",
             .description = "For timelines in memory; beyond it they keep fewer entries, and what "
                            "can't be kept is rebuilt from Redis",
             .value = base::Bytes(&options.timeline_memory_bytes, 16 * kMiB, 4 * kTiB)});
  table.Add({.name = "body-cache",
             .group = "Memory",
             .description = "For updates in memory, as they are served",
             .value = base::Bytes(&options.body_cache_bytes, kMiB, kTiB)});
}

void AddProcess(OptionTable& table, KlatchdOptions& options) {
  table.Add({.name = "drain-timeout",
             .group = "Process",
             .description = "How long a SIGTERM waits for calls and writes under way",
             .value = base::Duration(&options.drain_timeout, milliseconds(0), minutes(10))});
  table.Add({.name = "log-level",
             .group = "Process",
             .description = "Lines of the log below this level are left out",
             .value = base::Choice(&options.log_level, {{"debug", obs::Level::kDebug},
                                                        {"info", obs::Level::kInfo},
                                                        {"warn", obs::Level::kWarn},
                                                        {"error", obs::Level::kError}})});
  table.Add({.name = "core-dumps",
             .group = "Process",
             .description = "Core dumps, also of a Redis of its own, hold what is in memory: what "
                            "people have posted",
             .value = base::Flag(&options.core_dumps)});
  table.Add({.name = "check-config",
             .group = "Process",
             .description = "Check the options and end: exit code 0 if they are good, else 2",
             .value = base::Flag(&options.check_config),
             .scope = base::OptionScope::kFlagOnly});
  table.Add({.name = "print-config",
             .group = "Process",
             .description = "Print the options in force as TOML, each with its source, and end",
             .value = base::Flag(&options.print_config),
             .scope = base::OptionScope::kFlagOnly});
}

struct Address {
  std::string_view name;
  std::string_view what;
  base::Endpoint endpoint;
};

// Those that are listened on, in the order of the options.
absl::StatusOr<std::vector<Address>> AddressesOf(const KlatchdOptions& options) {
  std::vector<Address> addresses;
  const std::pair<Address, std::string_view> given[] = {
      {{"listen", "the API", {}}, options.listen},
      {{"metrics-listen", "it", {}}, options.metrics_listen},
      {{"http-listen", "the API over HTTP", {}}, options.http_listen}};
  for (const auto& [address, text] : given) {
    if (!text.empty() || address.name == "listen") {
      addresses.push_back(address);
      KLATCH_ASSIGN_OR_RETURN(addresses.back().endpoint, base::Endpoint::Parse(text));
    }
  }
  return addresses;
}

absl::Status ValidateAddresses(const KlatchdOptions& options) {
  KLATCH_ASSIGN_OR_RETURN(const std::vector<Address> addresses, AddressesOf(options));
  for (const Address& address : addresses) {
    const bool is_kept = address.name != "metrics-listen" && !options.tls_cert.empty();
    if (!address.endpoint.is_loopback() && !is_kept && !options.insecure) {
      return Invalid(
          fmt::format("--{} {} is not loopback, and {} is plain text: say "
                      "--insecure if only trusted callers reach it",
                      address.name, address.endpoint.ToString(), address.what));
    }
    for (const Address& other : addresses) {
      if (&other == &address) {
        break;
      }
      if (other.endpoint == address.endpoint && address.endpoint.port != 0) {
        return Invalid(fmt::format("--{} and --{} are both {}: each needs an address of its own",
                                   address.name, other.name, address.endpoint.ToString()));
      }
    }
  }
  return absl::OkStatus();
}

// Each option that is nothing without another.
absl::Status ValidateAccess(const KlatchdOptions& options) {
  const auto needs = [](std::string_view name, const std::string& value,
                        std::string_view other_name, const std::string& other) {
    return value.empty() || !other.empty()
               ? absl::OkStatus()
               : Invalid(fmt::format("--{} needs --{}", name, other_name));
  };
  KLATCH_RETURN_IF_ERROR(needs("tls-cert", options.tls_cert, "tls-key", options.tls_key));
  KLATCH_RETURN_IF_ERROR(needs("tls-key", options.tls_key, "tls-cert", options.tls_cert));
  KLATCH_RETURN_IF_ERROR(
      needs("tls-client-ca", options.tls_client_ca, "tls-cert", options.tls_cert));
  KLATCH_RETURN_IF_ERROR(needs("token-keys", options.token_keys, "policy", options.policy));
  if (!options.policy.empty() && options.token_keys.empty() && options.tls_client_ca.empty()) {
    return Invalid("--policy needs --token-keys or --tls-client-ca, to know who calls");
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<Address> addresses, AddressesOf(options));
  for (const Address& address : addresses) {
    if (address.name != "metrics-listen" && !address.endpoint.is_loopback() &&
        options.policy.empty() && !options.insecure) {
      return Invalid(
          fmt::format("--{} {} is not loopback, and without --policy whoever reaches it is "
                      "trusted: say --insecure if only trusted callers do",
                      address.name, address.endpoint.ToString()));
    }
  }
  if (options.audit && options.log_level > obs::Level::kInfo) {
    return Invalid("--audit writes at level info, which --log-level leaves out");
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> IsRedisByTls(const KlatchdOptions& options) {
  if (options.redis.empty()) {
    return false;
  }
  KLATCH_ASSIGN_OR_RETURN(const redis::Place place, redis::Place::Parse(options.redis));
  return place.is_by_tls();
}

absl::Status ValidateRedis(const KlatchdOptions& options) {
  const redis::TlsOptions& tls = options.redis_tls;
  const std::pair<std::string_view, const std::string*> given[] = {
      {"redis-tls-ca", &tls.ca_file},
      {"redis-tls-cert", &tls.cert_file},
      {"redis-tls-key", &tls.key_file},
      {"redis-tls-server-name", &tls.server_name}};
  KLATCH_ASSIGN_OR_RETURN(const bool is_by_tls, IsRedisByTls(options));
  for (const auto& [name, value] : given) {
    if (!value->empty() && !is_by_tls) {
      return Invalid(fmt::format("--{} needs --redis with rediss:// or rediss-sentinel://", name));
    }
  }
  if (tls.cert_file.empty() != tls.key_file.empty()) {
    return Invalid("--redis-tls-cert and --redis-tls-key need each other");
  }
  return absl::OkStatus();
}

absl::Status ValidateOrder(std::string_view lower_name, milliseconds lower,
                           std::string_view upper_name, milliseconds upper, std::string_view why) {
  if (lower < upper) {
    return absl::OkStatus();
  }
  return Invalid(fmt::format("--{} {} must be less than --{} {}: {}", lower_name,
                             base::PrintDuration(lower), upper_name, base::PrintDuration(upper),
                             why));
}

}  // namespace

OptionTable MakeKlatchdOptionTable(KlatchdOptions& options, std::string version) {
  OptionTable table({.name = "klatchd",
                     .version = std::move(version),
                     .usage = "klatchd [options]",
                     .summary = "klatchd delivers status updates to the timelines of groups."});
  AddAddresses(table, options);
  AddAccess(table, options);
  AddStorage(table, options);
  AddLayout(table, options);
  AddThreads(table, options);
  AddDelivery(table, options);
  AddBounds(table, options);
  AddMemory(table, options);
  AddProcess(table, options);
  return table;
}

absl::Status Validate(const KlatchdOptions& options) {
  KLATCH_RETURN_IF_ERROR(ValidateAddresses(options));
  KLATCH_RETURN_IF_ERROR(ValidateAccess(options));
  KLATCH_RETURN_IF_ERROR(ValidateRedis(options));
  if (options.namespaces.empty()) {
    return Invalid("--namespaces names none: a node serves at least one");
  }
  KLATCH_RETURN_IF_ERROR(ValidateOrder("flush-interval", options.flush_interval, "lease-duration",
                                       options.lease_duration,
                                       "a flush must be over before the lease it is made under"));
  KLATCH_RETURN_IF_ERROR(ValidateOrder(
      "flush-interval", options.flush_interval, "admission-flush-age", options.admission_flush_age,
      "every entry may wait for a flush, so all posts would be refused"));
  return absl::OkStatus();
}

uint32_t WorkerCount(const KlatchdOptions& options, uint32_t cores) {
  if (options.workers != 0) {
    return options.workers;
  }
  return std::clamp(cores, 1U, kWorkersAutoMax);
}

}  // namespace klatch
