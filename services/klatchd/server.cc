#include "services/klatchd/server.h"

#include <fmt/format.h>
#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "common/base/descriptors.h"
#include "common/base/endpoint.h"
#include "common/obs/log.h"
#include "grpc/health/v1/health.pb.h"
#include "services/klatchd/transport_guard.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

void Configure(grpc::ServerBuilder& builder, const KlatchdOptions& options) {
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.message_bytes_max));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, limits::kMetadataBytesMax);
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

// What a compressed request unpacks to is not known before it is done.
void RefuseCompression(grpc::ServerBuilder& builder) {
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
}

// Who is silent, asks too often or stays for ever.
void ConfigureConnections(grpc::ServerBuilder& builder, const KlatchdOptions& options) {
  const auto set = [&builder](const char* name, std::chrono::milliseconds time) {
    builder.AddChannelArgument(name, static_cast<int>(time.count()));
  };
  set(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, limits::kHandshakeTime);
  set(GRPC_ARG_KEEPALIVE_TIME_MS, limits::kSilenceMax);
  set(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, limits::kAliveAnswerTime);
  // Also those without a call, and as often as need be: without these gRPC would ask neither.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  set(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, limits::kClientPingsApart);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, limits::kClientPingsTooSoonMax);
  set(GRPC_ARG_MAX_CONNECTION_IDLE_MS, limits::kConnectionIdleMax);
  if (options.connection_age_max.count() != 0) {
    set(GRPC_ARG_MAX_CONNECTION_AGE_MS, options.connection_age_max);
    set(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, limits::kConnectionAgeGrace);
  }
}

// What connections over gRPC and HTTP leave of the descriptors is for Redis, files and listening.
struct Connections {
  uint32_t grpc = 0;
  uint32_t http = 0;
};
Connections ConnectionsThatFit(const KlatchdOptions& options) {
  const size_t descriptors = base::RaiseDescriptorsMax();
  const size_t room = descriptors - std::min<size_t>(descriptors / 4, limits::kDescriptorsKept);
  Connections fit;
  fit.http = static_cast<uint32_t>(std::min<size_t>(options.http_connections_max, room / 4));
  const size_t left = room - (options.http_listen.empty() ? 0 : fit.http);
  fit.grpc = static_cast<uint32_t>(std::min<size_t>(options.connections_max, left));
  if (fit.grpc < options.connections_max || fit.http < options.http_connections_max) {
    obs::Log(obs::Level::kWarn, "server", "fewer connections than allowed, for want of descriptors",
             {{"descriptors", descriptors}, {"grpc", fit.grpc}, {"http", fit.http}});
  }
  return fit;
}

// Whether somebody listens on a Unix socket: gRPC would take its name away from them.
bool IsListenedOn(const std::string& socket_path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  socket_path.copy(name.sun_path, sizeof(name.sun_path) - 1);
  // EAGAIN: they are behind with accepting.
  const bool is_taken =
      connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0 || errno == EAGAIN;
  close(fd);
  return is_taken;
}

absl::Status AddressTaken(const std::string& address) {
  return base::Error(absl::StatusCode::kUnavailable,
                     fmt::format("can't listen on {}: the address is taken or not ours", address));
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

// What apps call. Whatever is for operators only is not among it.
std::vector<std::string> ServicesOverHttp() {
  return {v1::FeedService::service_full_name(), v1::GroupService::service_full_name(),
          v1::PersonService::service_full_name(), v1::ImportService::service_full_name()};
}

// Null if HTTP is off.
absl::StatusOr<std::unique_ptr<HttpEdge>> BindEdge(const KlatchdOptions& options,
                                                   const Access& access, uint32_t connections_max) {
  if (options.http_listen.empty()) {
    return nullptr;
  }
  HttpEdge::Options edge;
  KLATCH_ASSIGN_OR_RETURN(edge.listen, base::Endpoint::Parse(options.http_listen));
  if (access.certificates != nullptr) {
    edge.tls = [certificates = access.certificates.get()] { return certificates->current(); };
  }
  edge.requires_client_certificate = !access.takes_tokens;
  edge.door = access.door.get();
  edge.services = ServicesOverHttp();
  edge.connections_max = connections_max;
  edge.body_bytes_max = static_cast<size_t>(options.message_bytes_max);
  edge.times.event = options.watch_stall_max;
  return HttpEdge::Bind(std::move(edge));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const KlatchdOptions& options,
                                                      const Access& access, Node& node) {
  KLATCH_ASSIGN_OR_RETURN(const base::Endpoint listen, base::Endpoint::Parse(options.listen));
  if (listen.is_unix() && IsListenedOn(listen.socket_path)) {
    return AddressTaken(options.listen);
  }
  const Connections connections = ConnectionsThatFit(options);
  // Before gRPC serves anybody whom a taken address would cut off.
  KLATCH_ASSIGN_OR_RETURN(std::unique_ptr<HttpEdge> edge,
                          BindEdge(options, access, connections.http));
  TransportGuard::OfProcess().Arm(
      {connections.grpc, options.streams_max, !options.tls_cert.empty()});
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
  ConfigureConnections(builder, options);
  RefuseCompression(builder);
  int port = 0;
  builder.AddListeningPort(options.listen, access.credentials, &port);
  builder.RegisterService(&node.feed_service());
  builder.RegisterService(&node.group_service());
  builder.RegisterService(&node.person_service());
  builder.RegisterService(&node.import_service());
  builder.RegisterService(&node.admin_service());
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    return AddressTaken(options.listen);
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
  TransportGuard::OfProcess().Register(metrics);
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
