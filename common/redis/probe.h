#pragma once
// What kind of server answers, and whether Klatch can stand on it. Asked once per start and after
// each reconnect of those who must know; not for the way of an update.
//
// Errors, one line each, naming the address and what to do:
//   UNAVAILABLE          try again later: no answer, connection refused, still loading.
//   FAILED_PRECONDITION  no Redis, a Sentinel, a replica, version < 7.0, wrong maxmemory-policy.
//   PERMISSION_DENIED    needs a password, wrong user or password, the user lacks a right.

#include <cstdint>
#include <string>

#include "common/base/status.h"
#include "common/redis/connection.h"

namespace klatch::redis {

struct ServerFacts {
  std::string version;
  // Changes with each start of the server.
  std::string run_id;
  int64_t process_id = 0;
  // "standalone" or "cluster".
  std::string mode;
  std::string maxmemory_policy;
  // 0: no limit.
  uint64_t maxmemory_bytes = 0;
  bool append_only = false;
  // Where it keeps its files; empty if CONFIG is forbidden.
  std::string directory;
};

absl::StatusOr<ServerFacts> Probe(Connection& connection);

// Connects and probes.
absl::StatusOr<ServerFacts> Probe(const Address& address, const Connection::Options& options);

}  // namespace klatch::redis
