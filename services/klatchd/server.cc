#include "services/klatchd/server.h"

#include <fmt/format.h>
#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>

#include <utility>
#include <vector>

#include "common/base/endpoint.h"
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

// Reflection is not behind the door, and tells strangers what there is to call. Linked, it adds itself.
class NoReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins,
                  [](const auto& plugin) { return plugin->name() == "proto_server_reflection"; });
  }
};

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

// What apps call. Whatever is for operators only is not among it.
std::vector<std::string> ServicesOverHttp() {
  return {v1::FeedService::service_full_name(), v1::GroupService::service_full_name(),
          v1::PersonService::service_full_name(), v1::ImportService::service_full_name()};
}

// Null if HTTP is off.
absl::StatusOr<std::unique_ptr<HttpEdge>> BindEdge(const KlatchdOptions& options) {
  if (options.http_listen.empty()) {
    return nullptr;
  }
  HttpEdge::Options edge;
  KLATCH_ASSIGN_OR_RETURN(edge.listen, base::Endpoint::Parse(options.http_listen));
  edge.cert_file = options.tls_cert;
  edge.key_file = options.tls_key;
  edge.services = ServicesOverHttp();
  edge.connections_max = options.http_connections_max;
  edge.body_bytes_max = static_cast<size_t>(options.message_bytes_max);
  edge.times.event = options.watch_stall_max;
  return HttpEdge::Bind(std::move(edge));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(
    const KlatchdOptions& options, const std::shared_ptr<grpc::ServerCredentials>& credentials,
    Node& node) {
  // Before gRPC serves anybody whom a taken address would cut off.
  KLATCH_ASSIGN_OR_RETURN(std::unique_ptr<HttpEdge> edge, BindEdge(options));
  HoldLibrary();
  // Without its descriptor in the binary, reflection would list the health service and then fail to
  // describe it.
  grpc::health::v1::HealthCheckRequest::descriptor();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  Configure(builder, options);
  if (!options.policy.empty()) {
    builder.SetOption(std::make_unique<NoReflection>());
  }
  int port = 0;
  builder.AddListeningPort(options.listen, credentials, &port);
  builder.RegisterService(&node.feed_service());
  builder.RegisterService(&node.group_service());
  builder.RegisterService(&node.person_service());
  builder.RegisterService(&node.import_service());
  builder.RegisterService(&node.admin_service());
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
  if (edge != nullptr) {
    edge->Serve(server->InProcessChannel({}));
  }
  return std::unique_ptr<Server>(
      new Server(std::move(server), std::move(address), std::move(edge)));
}

Server::Server(std::unique_ptr<grpc::Server> server, std::string address,
               std::unique_ptr<HttpEdge> edge)
    : server_(std::move(server)), address_(std::move(address)), edge_(std::move(edge)) {}

Server::~Server() = default;

void Server::Register(obs::MetricsRegistry& metrics) const {
  if (edge_ != nullptr) {
    edge_->Register(metrics);
  }
}

void Server::AnnounceStop() {
  server_->GetHealthCheckService()->SetServingStatus(false);
  if (edge_ != nullptr) {
    edge_->StopAccepting();
  }
}

void Server::Shutdown(base::WallTime deadline) {
  if (edge_ != nullptr) {
    const base::SystemClock clock;
    edge_->Shutdown(clock.Monotonic() + (deadline - clock.Wall()));
  }
  server_->Shutdown(deadline);
  server_->Wait();
}

}  // namespace klatch
