#pragma once
// The little HTTP server for operators: /metrics (Prometheus text), /livez (the process answers),
// /readyz (200 when ready, else 503 with one reason per line).
//
// Threads: one that accepts, two that answer. The callbacks run on those two.
// Lifetime: what is passed to Start outlives Stop.
// Bounds: 64 waiting connections, then the kernel's backlog; one request per connection; 5 s to
// send a request or take an answer; 1 KiB of body. Not promised: TLS. Plain text, meant for
// loopback or a network of one's own.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/obs/metrics.h"

namespace klatch::obs {

struct Readiness {
  bool ready = false;
  std::vector<std::string> reasons;  // why not, or what is worth knowing; a line each
};

class ObservabilityServer {
 public:
  struct Sources {
    const MetricsRegistry& metrics;
    std::function<Readiness()> readiness;
  };

  // Serves when it returns. `host` is a name or an address without brackets; port 0 takes a free
  // one. UNAVAILABLE if the address is taken or not ours: the message names it and the system's
  // reason.
  static absl::StatusOr<std::unique_ptr<ObservabilityServer>> Start(std::string_view host, int port,
                                                                    Sources sources);
  // Stops.
  ~ObservabilityServer();
  ObservabilityServer(const ObservabilityServer&) = delete;
  ObservabilityServer& operator=(const ObservabilityServer&) = delete;

  int port() const;

  // Refuses new connections, answers what was accepted, joins the threads. Idempotent; one thread.
  void Stop();

 private:
  struct State;
  explicit ObservabilityServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace klatch::obs
