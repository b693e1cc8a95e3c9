#pragma once
// The gRPC server of a node: the two services, health and reflection, on one address.
//
// Thread safety: one thread starts and stops it.
// Bounds: options' message size, streams per connection, threads; metadata 8 KiB.

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "services/klatchd/node.h"
#include "services/klatchd/options.h"

namespace klatch {

class Server {
 public:
  // Serves when it returns. UNAVAILABLE if the address can't be listened on.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const KlatchdOptions& options, Node& node);
  ~Server();

  // Where it listens; a port of 0 is replaced by the one that was given.
  const std::string& address() const { return address_; }

  // Health says NOT_SERVING, so that balancers look elsewhere; calls still work.
  void AnnounceStop();
  // Refuses new calls, ends what is still under way at `deadline`.
  void Shutdown(base::WallTime deadline);

 private:
  Server(std::unique_ptr<grpc::Server> server, std::string address);

  std::unique_ptr<grpc::Server> server_;
  const std::string address_;
};

}  // namespace klatch
