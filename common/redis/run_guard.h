#pragma once
// Whether the Redis behind a connection is still the process that was there when the guard was
// made. One that was restarted may have lost its last writes although it had answered them
// (append-only file, synced every second), so whoever remembers what it wrote must begin again from
// what is stored.
//
// Thread safety: any thread.

#include <atomic>
#include <string>
#include <utility>

#include "common/base/status.h"
#include "common/redis/connection.h"
#include "common/redis/probe.h"

namespace klatch::redis {

class RunGuard {
 public:
  explicit RunGuard(std::string run_id) : run_id_(std::move(run_id)) {}

  // To be asked after each reconnect, before anything is written. UNAVAILABLE if it is another run,
  // from then on for good; else the error of asking.
  absl::Status Check(Connection& connection) {
    KLATCH_ASSIGN_OR_RETURN(const ServerFacts facts, Probe(connection));
    if (facts.run_id != run_id_) {
      // Relaxed: a flag that publishes nothing.
      changed_.store(true, std::memory_order_relaxed);
      return base::Error(absl::StatusCode::kUnavailable, "Redis was restarted");
    }
    return absl::OkStatus();
  }

  bool changed() const { return changed_.load(std::memory_order_relaxed); }

 private:
  const std::string run_id_;
  std::atomic<bool> changed_{false};
};

}  // namespace klatch::redis
