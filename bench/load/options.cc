#include "bench/load/options.h"

#include <fmt/format.h>

#include <charconv>

#include "bench/load/plan/operation_mix.h"
#include "common/base/endpoint.h"
#include "common/base/version.h"
#include "common/redis/address.h"

namespace klatch::load {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

constexpr int64_t kNumbersMax = 1'000'000'000'000;

absl::Status CheckEndpoint(std::string_view text) { return base::Endpoint::Parse(text).status(); }

absl::Status CheckOptionalEndpoint(std::string_view text) {
  return text.empty() ? absl::OkStatus() : CheckEndpoint(text);
}

absl::Status CheckOptionalRedis(std::string_view text) {
  return text.empty() ? absl::OkStatus() : redis::Address::Parse(text).status();
}

absl::Status CheckPercent(std::string_view text) {
  return text.empty() ? absl::OkStatus() : ParsePercent(text).status();
}

absl::Status CheckFault(std::string_view text) {
  return text.empty() ? absl::OkStatus() : ParseFault(text).status();
}

absl::Status CheckMix(std::string_view text) { return OperationMix::Parse(text).status(); }

absl::Status CheckPath(std::string_view text) {
  return text.empty() ? base::Error(absl::StatusCode::kInvalidArgument, "wants a path")
                      : absl::OkStatus();
}

void AddServerOptions(base::OptionTable& table, LoadOptions& options) {
  table.Add({.name = "target",
             .group = "Server",
             .description = "The node to play against",
             .example = "unix:/run/klatch.sock",
             .value = base::Text(&options.target, CheckEndpoint)});
  table.Add({.name = "ca",
             .group = "Server",
             .description = "TLS: file in PEM with who signs the node's certificate; empty: plain "
                            "text",
             .example = "ca.crt",
             .value = base::Text(&options.access.ca_file)});
  table.Add({.name = "cert",
             .group = "Server",
             .description = "TLS: file in PEM with a certificate of ours",
             .example = "load.crt",
             .value = base::Text(&options.access.cert_file)});
  table.Add({.name = "key",
             .group = "Server",
             .description = "TLS: file in PEM with the private key of --cert",
             .example = "load.key",
             .value = base::Text(&options.access.key_file)});
  table.Add({.name = "server-name",
             .group = "Server",
             .description = "TLS: the name in the node's certificate, if it is not the target's",
             .example = "klatch.example.org",
             .value = base::Text(&options.access.server_name)});
  table.Add({.name = "token-file",
             .group = "Server",
             .description = "A token that says who calls",
             .example = "load.jwt",
             .value = base::Text(&options.access.token_file)});
  table.Add({.name = "metrics",
             .group = "Server",
             .description = "Where the node serves /metrics; asked until everything is in Redis",
             .example = "127.0.0.1:7421",
             .value = base::Text(&options.metrics, CheckOptionalEndpoint)});
  table.Add({.name = "redis",
             .group = "Server",
             .description = "The node's Redis; stored timelines are compared too",
             .example = "unix:///run/klatch/redis.sock",
             .value = base::Text(&options.redis, CheckOptionalRedis),
             .redact = redis::Address::Redacted});
  table.Add({.name = "http",
             .group = "Server",
             .description = "Where the node serves HTTP; some home timelines are compared too",
             .example = "127.0.0.1:7422",
             .value = base::Text(&options.http, CheckOptionalEndpoint)});
  table.Add({.name = "connect-timeout",
             .group = "Server",
             .description = "How long to wait for the node at the start",
             .value = base::Duration(&options.connect_timeout, 100ms, 600s)});
  table.Add({.name = "retry-for",
             .group = "Server",
             .description = "How long a call is tried again with the same key",
             .value = base::Duration(&options.retry_for, 100ms, 600s)});
  table.Add(
      {.name = "shed",
       .group = "Server",
       .description =
           "What the schedule sends and the node refuses as it has too much to do is not tried "
           "again, and no failure",
       .value = base::Flag(&options.shed)});
  table.Add({.name = "drain-timeout",
             .group = "Server",
             .description = "How long the node may take to bring everything into Redis",
             .value = base::Duration(&options.drain_timeout, 1s, 600s)});
}

void AddGraphOptions(base::OptionTable& table, LoadOptions& options) {
  table.Add({.name = "graph",
             .group = "Who plays",
             .description = "A graph in SNAP's format: a folder, or one file with an edge per line",
             .value = base::Text(&options.graph, CheckPath),
             // KLATCH_GRAPH tells the tests where the graph is; a load is told by its flag.
             .scope = base::OptionScope::kFlagOnly});
  table.Add({.name = "persons",
             .group = "Who plays",
             .description = "Persons of a generated graph",
             .value = base::Count(&options.persons, 2, 10'000'000)});
  table.Add({.name = "group-size",
             .group = "Who plays",
             .description = "Random groups of exactly this size; 0: communities, 5 to 400 people",
             .value = base::Count(&options.group_size, 0, 1'000'000)});
  table.Add({.name = "groups-per-person",
             .group = "Who plays",
             .description = "Groups that a person is in; 0: 10 with --group-size, else about 4",
             .value = base::Count(&options.groups_per_person, 0, 1'000)});
  table.Add({.name = "celebrity-members",
             .group = "Who plays",
             .description = "One more group of so many, fans among them who only read; 0: none",
             .value = base::Count(&options.celebrity_members, 0, 10'000'000)});
  table.Add({.name = "busy-persons",
             .group = "Who plays",
             .description = "Persons who are in --busy-groups besides",
             .value = base::Count(&options.busy_persons, 0, 100'000)});
  table.Add({.name = "busy-groups",
             .group = "Who plays",
             .description = "In how many, or in all that there are",
             .value = base::Count(&options.busy_groups, 0, 1'000'000)});
  table.Add({.name = "seed",
             .group = "Who plays",
             .description = "The same seed plays the same people and posts",
             .value = base::Count(&options.seed, 0, INT64_MAX)});
}

void AddArrivalOptions(base::OptionTable& table, LoadOptions& options) {
  table.Add({.name = "arrivals",
             .group = "What is played",
             .description =
                 "When operations are sent: by a schedule that doesn't wait for answers, "
                 "or, closed, each when the last one is answered",
             .value = base::Choice(&options.arrivals, ArrivalKinds())});
  table.Add({.name = "rate",
             .group = "What is played",
             .description = "Operations per second of the schedule, all connections together",
             .value = base::Count(&options.rate, 1, 10'000'000)});
  table.Add(
      {.name = "rate-end",
       .group = "What is played",
       .description = "What --rate has become at the end of a step or a line, or amid a surge",
       .value = base::Count(&options.rate_end, 0, 10'000'000)});
  table.Add({.name = "burst",
             .group = "What is played",
             .description = "Operations that bursts send at once",
             .value = base::Count(&options.burst, 1, 1'000'000)});
  table.Add({.name = "duration",
             .group = "What is played",
             .description = "How long the schedule lasts; 0: as long as the updates take",
             .value = base::Duration(&options.duration, 0ms, 86'400s)});
  table.Add({.name = "mix",
             .group = "What is played",
             .description = "Weights of the schedule's operations: post, home, profile, group",
             .example = "home=60,profile=30,post=10",
             .value = base::Text(&options.mix, CheckMix)});
  table.Add({.name = "linger",
             .group = "What is played",
             .description = "How long a due update waits for others to fill its call",
             .value = base::Duration(&options.linger, 0ms, 10s)});
  table.Add({.name = "in-flight",
             .group = "What is played",
             .description = "Calls under way per connection; what is due waits beyond that",
             .value = base::Count(&options.in_flight, 1, 100'000)});
}

void AddPlayOptions(base::OptionTable& table, LoadOptions& options) {
  table.Add({.name = "scenario",
             .group = "What is played",
             .description = "How the result names this load",
             .value = base::Text(&options.scenario)});
  table.Add({.name = "updates",
             .group = "What is played",
             .description = "Updates to publish; 0: enough for --deliveries or --duration, else "
                            "20000 on an imported graph and 10000 on a generated one",
             .value = base::Count(&options.updates, 0, kNumbersMax)});
  table.Add({.name = "deliveries",
             .group = "What is played",
             .description = "Publish until this many deliveries are due; 0: no matter",
             .value = base::Count(&options.deliveries, 0, kNumbersMax)});
  AddArrivalOptions(table, options);
  table.Add({.name = "connections",
             .group = "What is played",
             .description = "Connections that publish and read",
             .value = base::Count(&options.connections, 1, 64)});
  table.Add({.name = "probers",
             .group = "What is played",
             .description = "Connections that measure how soon a post is visible",
             .value = base::Count(&options.probers, 0, 6)});
  table.Add({.name = "batch",
             .group = "What is played",
             .description = "Updates per call",
             .value = base::Count(&options.batch, 1, 100)});
  table.Add(
      {.name = "one-per-call",
       .group = "What is played",
       .description = "Send each update of a batch in a call of its own, all under way together",
       .value = base::Flag(&options.one_per_call)});
  table.Add({.name = "churn",
             .group = "What is played",
             .description = "Departures per thousand updates, 500 at most; three of four come back",
             .value = base::Count(&options.churn, 0, 1'000)});
  table.Add({.name = "revisions",
             .group = "What is played",
             .description = "Edits and deletions per thousand updates, 250 at most",
             .value = base::Count(&options.revisions, 0, 1'000)});
  table.Add({.name = "several",
             .group = "What is played",
             .description = "Updates per thousand that go to several groups of their author",
             .value = base::Count(&options.several, 0, 1'000)});
  table.Add({.name = "watched",
             .group = "What is played",
             .description = "Persons who are watched throughout, over streams that drop and resume",
             .value = base::Count(&options.watched, 0, 100'000)});
  table.Add({.name = "watch-groups",
             .group = "What is played",
             .description = "Groups all of whose members are watched besides; how soon a post has "
                            "reached the last member is measured on them",
             .value = base::Count(&options.watch_groups, 0, 10'000)});
  table.Add({.name = "watch-gateways",
             .group = "What is played",
             .description = "Streams that share the watched persons",
             .value = base::Count(&options.watch_gateways, 1, 1'000)});
  table.Add({.name = "watch-storm-at",
             .group = "What is played",
             .description = "Break all streams at once at this part of the load; they come back",
             .example = "50%",
             .value = base::Text(&options.watch_storm_at, CheckPercent)});
  table.Add({.name = "quarrels",
             .group = "What is played",
             .description = "Blocks, mutes and hidden updates that are made, checked and undone",
             .value = base::Count(&options.quarrels, 0, 1'000)});
  table.Add({.name = "quiet",
             .group = "What is played",
             .description = "Persons who read nothing until the end. Then copies in Redis are due "
                            "to nobody, as the node may find others quiet too",
             .value = base::Count(&options.quiet, 0, 100'000)});
  table.Add({.name = "flip-groups",
             .group = "What is played",
             .description = "Groups that grow beyond --flip-above and shrink again, twice",
             .value = base::Count(&options.flip_groups, 0, 1'000)});
  table.Add({.name = "flip-above",
             .group = "What is played",
             .description = "The node's --pull-above",
             .value = base::Count(&options.flip_above, 1, 1'000'000)});
}

void AddDrillOptions(base::OptionTable& table, LoadOptions& options) {
  table.Add({.name = "fault",
             .group = "Drills",
             .description = "What befalls the node: a pause, as of a machine that swaps",
             .example = "pause=100ms",
             .value = base::Text(&options.fault, CheckFault)});
  table.Add({.name = "fault-at",
             .group = "Drills",
             .description = "The part of the load at which it does",
             .value = base::Text(&options.fault_at, CheckPercent)});
  table.Add({.name = "kill-node-at",
             .group = "Drills",
             .description = "Kill the node (SIGKILL) at this part of the load and start it again",
             .example = "50%",
             .value = base::Text(&options.kill_node_at, CheckPercent)});
  table.Add({.name = "node-pid",
             .group = "Drills",
             .description = "The node's process id; 0: as --node-pid-file says",
             .value = base::Count(&options.node_pid, 0, INT32_MAX)});
  table.Add(
      {.name = "node-pid-file",
       .group = "Drills",
       .description = "File with the node's process id; the restarted node's is written to it",
       .value = base::Text(&options.node_pid_file)});
  table.Add({.name = "node-restart-command",
             .group = "Drills",
             .description = "How to start the node again; split into words as a shell does",
             .value = base::Text(&options.node_restart_command)});
}

void AddResultOptions(base::OptionTable& table, LoadOptions& options) {
  table.Add({.name = "cap",
             .group = "Result",
             .description = "How many updates a timeline keeps",
             .value = base::Count(&options.cap, 1, 100'000)});
  table.Add({.name = "check-timelines",
             .group = "Result",
             .description = "Home timelines, groups and profiles to read through the API, each; 0: "
                            "all up to 20000, else a seeded sample of 2000. In Redis: always all",
             .value = base::Count(&options.check_timelines, 0, 10'000'000)});
  table.Add({.name = "show-timelines",
             .group = "Result",
             .description = "Timelines to print as a person would read them",
             .value = base::Count(&options.show_timelines, 0, 100)});
  table.Add({.name = "result",
             .group = "Result",
             .description = "File for all that was measured, for `report` and `compare`",
             .example = "result.json",
             .value = base::Text(&options.result, CheckPath),
             .scope = base::OptionScope::kFlagOnly});
  table.Add({.name = "hgrm",
             .group = "Result",
             .description = "Folder for the latencies in HdrHistogram's text form",
             .value = base::Text(&options.hgrm, CheckPath),
             .scope = base::OptionScope::kFlagOnly});
  table.Add({.name = "json",
             .group = "Result",
             .description = "Print the summary as one JSON object on the last line",
             .value = base::Flag(&options.json)});
  table.Add({.name = "check",
             .group = "Result",
             .description = "Only look whether all this can be played: the options, the files and "
                            "the graph. Nobody is called",
             .value = base::Flag(&options.check),
             .scope = base::OptionScope::kFlagOnly});
}

}  // namespace

base::OptionTable MakeOptionTable(LoadOptions& options) {
  base::OptionTable table({.name = "klatch-load",
                           .version = base::kVersion,
                           .usage = "klatch-load play [options], or klatch-load manual",
                           .summary =
                               "Plays a social graph against Klatch while people watch, leave, "
                               "come back, quarrel, edit and delete, and checks on every path and "
                               "in Redis that each person sees what they must, once, and nothing "
                               "else."});
  AddServerOptions(table, options);
  AddGraphOptions(table, options);
  AddPlayOptions(table, options);
  AddDrillOptions(table, options);
  AddResultOptions(table, options);
  return table;
}

absl::Status ValidateOptions(const LoadOptions& options) {
  auto error = [](std::string_view message) {
    return base::Error(absl::StatusCode::kInvalidArgument, message);
  };
  const bool node_is_known = options.node_pid != 0 || !options.node_pid_file.empty();
  if (!options.kill_node_at.empty() && !node_is_known) {
    return error("--kill-node-at wants --node-pid or --node-pid-file");
  }
  if (!options.kill_node_at.empty() && options.node_restart_command.empty()) {
    return error("--kill-node-at wants --node-restart-command");
  }
  if (!options.fault.empty() && !node_is_known) {
    return error("--fault wants --node-pid or --node-pid-file");
  }
  const bool has_two_rates = options.arrivals == ArrivalKind::kStep ||
                             options.arrivals == ArrivalKind::kLine ||
                             options.arrivals == ArrivalKind::kSurge;
  if (has_two_rates && options.rate_end == 0) {
    return error(
        fmt::format("--arrivals {} wants --rate-end, at least 1", NameOf(options.arrivals)));
  }
  if (options.arrivals == ArrivalKind::kClosedLoop && options.shed) {
    return error("--shed is for a schedule, and --arrivals closed has none");
  }
  if (options.arrivals == ArrivalKind::kClosedLoop && options.duration.count() != 0) {
    return error("--duration is for a schedule, and --arrivals closed has none: give --updates");
  }
  if (options.duration.count() != 0 && (options.updates != 0 || options.deliveries != 0)) {
    return error("--duration says how long, --updates and --deliveries how many: give one");
  }
  KLATCH_ASSIGN_OR_RETURN(OperationMix mix, OperationMix::Parse(options.mix));
  if (options.duration.count() == 0 && mix.ShareOf(Operation::kPost) == 0) {
    return error("--mix has no posts, so --updates end nothing: give --duration");
  }
  if (!options.graph.empty() && options.group_size != 0) {
    return error("--group-size is for generated graphs, --graph imports one: give one of them");
  }
  const bool communities = options.graph.empty() && options.group_size == 0;
  if (!communities && options.celebrity_members + options.busy_persons != 0) {
    return error(
        "--celebrity-members and --busy-persons go with communities: leave out --graph and "
        "--group-size");
  }
  if (options.celebrity_members != 0 && options.celebrity_members < options.persons) {
    return error("--celebrity-members is at least --persons, all of whom are fans");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::chrono::milliseconds> ParseFault(std::string_view text) {
  constexpr std::string_view kPause = "pause=";
  if (text.substr(0, kPause.size()) != kPause) {
    return base::Error(absl::StatusCode::kInvalidArgument, "is no fault such as pause=100ms");
  }
  const auto time = base::ParseDuration(text.substr(kPause.size()));
  if (!time.ok() || *time < 1ms || *time > 60s) {
    return base::Error(absl::StatusCode::kInvalidArgument, "a pause lasts 1ms to 60s");
  }
  return *time;
}

absl::StatusOr<double> ParsePercent(std::string_view text) {
  std::string_view number = text;
  if (!number.empty() && number.back() == '%') {
    number.remove_suffix(1);
  }
  double percent = 0;
  auto parsed = std::from_chars(number.data(), number.data() + number.size(), percent);
  bool whole = parsed.ec == std::errc() && parsed.ptr == number.data() + number.size();
  if (!whole || !(percent >= 0 && percent <= 100)) {
    return base::Error(absl::StatusCode::kInvalidArgument, "not a percentage from 0% to 100%");
  }
  return percent / 100;
}

}  // namespace klatch::load
