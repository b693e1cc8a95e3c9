#pragma once
// The node's calls over HTTP: the same services as gRPC's, with JSON, by a client of the node's own
// gRPC server inside the process. Limits, gate and errors are therefore those of the calls.
//
// Bind takes the address, Serve begins, StopAccepting and Shutdown end it.
//
// Threads: kHttpLoops of its own, "edge-N", each with connections of its own. One thread owns it.
// Lifetime: ends before the server whose channel it was given.
// Bounds: --http-connections-max, more are told 503, or with TLS are closed; of each connection, http_connection.h.
// Not promised: HTTP/2, compression, cross-origin calls (no CORS).

#include <grpcpp/channel.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/endpoint.h"
#include "common/base/status.h"
#include "common/obs/metrics.h"
#include "services/edge/http_times.h"
#include "services/edge/tls_texts.h"
#include "services/identity/door.h"

namespace klatch {

class HttpEdge {
 public:
  struct Options {
    base::Endpoint listen;  // no Unix socket
    TlsSource tls = {};     // empty: plain text
    // Whether nobody is let in without a certificate, where `tls` names an authority for clients.
    bool requires_client_certificate = false;
    // Asked before the body of a request is read; outlives the edge. Null: nobody is asked who they are.
    Door* door = nullptr;
    // Full names, such as "klatch.v1.FeedService"; others are not served.
    std::vector<std::string> services = {};
    uint32_t connections_max = 0;
    size_t body_bytes_max = 0;
    HttpTimes times = {};
  };

  // Takes the address; nobody is answered yet. UNAVAILABLE if it can't be listened on, INVALID_ARGUMENT if
  // the certificate can't be used.
  static absl::StatusOr<std::unique_ptr<HttpEdge>> Bind(Options options);
  // Ends what is still under way.
  ~HttpEdge();
  HttpEdge(const HttpEdge&) = delete;
  HttpEdge& operator=(const HttpEdge&) = delete;

  // Where it listens; a port of 0 is replaced by the one that was given.
  const std::string& address() const { return address_; }

  // Begins to accept. Once.
  void Serve(std::shared_ptr<grpc::Channel> channel);
  // No more connections; those without a request under way are closed, the others after its answer.
  void StopAccepting();
  // Waits for answers under way until `deadline`, then closes all. Idempotent.
  void Shutdown(base::MonotonicTime deadline);

  void Register(obs::MetricsRegistry& metrics) const;

 private:
  struct State;
  HttpEdge(std::unique_ptr<State> state, std::string address);

  const std::unique_ptr<State> state_;
  const std::string address_;
};

}  // namespace klatch
