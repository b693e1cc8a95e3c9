#include "services/klatchd/server.h"

#include <fmt/format.h>
#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>

#include <utility>

#include "grpc/health/v1/health.pb.h"

namespace klatch {
namespace {

constexpr int kMetadataBytesMax = 8 * 1024;

void Configure(grpc::ServerBuilder& builder, const KlatchdOptions& options) {
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.message_bytes_max));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytesMax);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                             static_cast<int>(options.streams_max));
  // With SO_REUSEPORT a second server would take the same port in silence and get half of the
  // calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
}

// The library is never shut down before the process ends. When a client had stopped to read, gRPC has a
// thread that polls its connection, in turns of 10 s that nothing wakes, and a shutdown of the library,
// which else comes with the end of the last server, joins that thread.
void HoldLibrary() {
  static const bool held = [] {
    grpc_init();
    return true;
  }();
  static_cast<void>(held);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const KlatchdOptions& options, Node& node) {
  HoldLibrary();
  // Without its descriptor in the binary, reflection would list the health service and then fail to
  // describe it.
  grpc::health::v1::HealthCheckRequest::descriptor();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  Configure(builder, options);
  int port = 0;
  builder.AddListeningPort(options.listen, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&node.feed_service());
  builder.RegisterService(&node.group_service());
  builder.RegisterService(&node.person_service());
  builder.RegisterService(&node.import_service());
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    return base::Error(
        absl::StatusCode::kUnavailable,
        fmt::format("can't listen on {}: the address is taken or not ours", options.listen));
  }
  std::string address = options.listen;
  const size_t colon = address.rfind(':');
  if (!address.starts_with("unix:") && colon != std::string::npos) {
    address = fmt::format("{}:{}", address.substr(0, colon), port);
  }
  return std::unique_ptr<Server>(new Server(std::move(server), std::move(address)));
}

Server::Server(std::unique_ptr<grpc::Server> server, std::string address)
    : server_(std::move(server)), address_(std::move(address)) {}

Server::~Server() = default;

void Server::AnnounceStop() { server_->GetHealthCheckService()->SetServingStatus(false); }

void Server::Shutdown(base::WallTime deadline) {
  server_->Shutdown(deadline);
  server_->Wait();
}

}  // namespace klatch
