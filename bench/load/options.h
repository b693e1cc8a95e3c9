#pragma once
// What klatch-load can be told. Defaults here play the demo: a small generated graph on one
// machine.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "bench/load/plan/arrivals.h"
#include "common/base/options.h"
#include "services/identity/client_access.h"

namespace klatch::load {

struct LoadOptions {
  std::string target = "127.0.0.1:7420";
  ClientAccess access;
  std::string metrics;
  std::string redis;
  std::string http;

  std::string graph;
  uint32_t persons = 2000;
  uint32_t group_size = 0;         // 0: sizes follow a power law
  uint32_t groups_per_person = 0;  // 0: 10 with group_size, else 4
  uint32_t celebrity_members = 0;
  uint32_t busy_persons = 0;
  uint32_t busy_groups = 1'000;
  uint64_t seed = 1;

  std::string scenario;
  // 0: 20,000 for an imported graph, else 10,000, unless deliveries or a duration are given.
  uint64_t updates = 0;
  uint64_t deliveries = 0;                // 0: no matter
  std::chrono::milliseconds duration{0};  // 0: as long as the updates take
  ArrivalKind arrivals = ArrivalKind::kConstant;
  uint64_t rate = 1'000;
  uint64_t rate_end = 0;
  uint64_t burst = 100;
  std::string mix = "post=1";
  uint32_t connections = 4;
  uint32_t probers = 4;
  uint32_t batch = 50;
  bool one_per_call = false;
  std::chrono::milliseconds linger{0};
  uint32_t in_flight = 1'000;
  uint32_t churn = 20;
  uint32_t revisions = 10;
  uint32_t several = 50;
  uint32_t watched = 400;
  uint32_t watch_groups = 0;
  uint32_t watch_gateways = 4;
  std::string watch_storm_at;
  uint32_t quarrels = 10;
  uint32_t quiet = 0;
  uint32_t flip_groups = 0;
  uint32_t flip_above = 10'000;

  std::string fault;
  std::string fault_at = "50%";
  std::string kill_node_at;
  int64_t node_pid = 0;
  std::string node_pid_file;
  std::string node_restart_command;

  uint32_t cap = 800;
  uint32_t check_timelines = 0;  // 0: all up to 20,000, else 2,000
  uint32_t show_timelines = 2;
  bool json = false;
  bool check = false;
  std::string result;
  std::string hgrm;
  std::chrono::milliseconds connect_timeout{10'000};
  std::chrono::milliseconds retry_for{30'000};
  bool shed = false;
  std::chrono::milliseconds drain_timeout{60'000};
};

// The table that reads into `options`, which must outlive it.
base::OptionTable MakeOptionTable(LoadOptions& options);

// What the options say together. INVALID_ARGUMENT: what contradicts what.
absl::Status ValidateOptions(const LoadOptions& options);

// "pause=100ms": for how long the node is stopped. INVALID_ARGUMENT: it is no such fault.
absl::StatusOr<std::chrono::milliseconds> ParseFault(std::string_view text);

// "50%" or "50" as 0.5. INVALID_ARGUMENT outside of [0, 100].
absl::StatusOr<double> ParsePercent(std::string_view text);

}  // namespace klatch::load
