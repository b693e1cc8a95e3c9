#pragma once
// The servers of a node: gRPC with the services, health and reflection on one address; beside it,
// if the options name an address, the same services over HTTP.
//
// Thread safety: one thread starts and stops it.
// Bounds: options' message size, streams per connection, connections, threads; else
// services/model/limits.h, "gRPC's connections".

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/obs/metrics.h"
#include "services/edge/http_edge.h"
#include "services/klatchd/access.h"
#include "services/klatchd/node.h"
#include "services/klatchd/options.h"

namespace klatch {

class Server {
 public:
  // Serves when it returns. UNAVAILABLE if an address can't be listened on. `access` outlives it.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const KlatchdOptions& options,
                                                       const Access& access, Node& node);
  ~Server();

  // Where it listens; a port of 0 is replaced by the one that was given.
  const std::string& address() const { return address_; }
  // The same of HTTP; empty if it is off.
  std::string http_address() const { return edge_ ? edge_->address() : ""; }

  // What is added outlives the registry's last scrape.
  void Register(obs::MetricsRegistry& metrics) const;

  // Health says NOT_SERVING, so that balancers look elsewhere; calls still work. HTTP takes no more
  // connections and ends each with its next answer.
  void AnnounceStop();
  // Refuses new calls, ends what is still under way at `deadline`.
  void Shutdown(base::WallTime deadline);

 private:
  Server(std::unique_ptr<grpc::Server> server, std::string address, std::unique_ptr<HttpEdge> edge);

  std::unique_ptr<grpc::Server> server_;
  const std::string address_;
  // A client of server_; null if HTTP is off.
  std::unique_ptr<HttpEdge> edge_;
};

}  // namespace klatch
