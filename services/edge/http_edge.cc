#include "services/edge/http_edge.h"

#include <fmt/format.h>

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/steady_timer.hpp>
#include <optional>
#include <utility>

#include "common/obs/log.h"
#include "services/edge/http_connection.h"
#include "services/edge/http_loop.h"
#include "services/edge/http_tls.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr size_t kHttpLoops = 2;
// When descriptors have run out; the connections that end meanwhile give some back.
constexpr std::chrono::milliseconds kAcceptPause{100};

absl::Status Unavailable(const base::Endpoint& listen, const boost::system::error_code& error) {
  return base::Error(
      absl::StatusCode::kUnavailable,
      fmt::format("can't listen on {} for HTTP: {}", listen.ToString(), error.message()));
}

HostRule RuleOf(const base::Endpoint& listen) {
  return listen.is_loopback() ? HostRule::kLoopbackOnly : HostRule::kAny;
}

}  // namespace

struct HttpEdge::State {
  explicit State(const Options& options)
      : shared(options.services, RuleOf(options.listen), options.body_bytes_max, options.times,
               options.door),
        connections(options.connections_max) {
    for (size_t i = 0; i < kHttpLoops; ++i) {
      loops[i] = std::make_unique<HttpLoop>(fmt::format("edge-{}", i));
    }
    acceptor.emplace(loops[0]->context);
    pause.emplace(loops[0]->context);
  }

  absl::Status Listen(const base::Endpoint& listen);
  // The rest on the first loop's thread.
  void Accept();
  void OnAccepted(size_t loop, const boost::system::error_code& error, tcp::socket socket);
  void Admit(size_t loop, tcp::socket socket);

  // Calls `what` for each connection on its own loop's thread.
  void ForEach(void (HttpConnection::*what)());

  HttpShared shared;
  std::unique_ptr<HttpTls> tls;  // null: plain text; the first loop's
  CallGate connections;
  CallGate refusals{limits::kHttpRefusalsMax};
  std::array<std::unique_ptr<HttpLoop>, kHttpLoops> loops;
  // The first loop's.
  std::optional<tcp::acceptor> acceptor;
  std::optional<asio::steady_timer> pause;
  size_t next_loop = 0;
  obs::LogLimiter accept_errors{1};
  const base::SystemClock clock;
  bool has_ended = false;  // the owner's
};

absl::Status HttpEdge::State::Listen(const base::Endpoint& listen) {
  boost::system::error_code error;
  tcp::resolver resolver(loops[0]->context);
  const auto found =
      resolver.resolve(listen.host, std::to_string(listen.port), tcp::resolver::passive, error);
  if (error || found.empty()) {
    return Unavailable(listen, error);
  }
  const tcp::endpoint endpoint = found.begin()->endpoint();
  acceptor->open(endpoint.protocol(), error);
  if (!error) {
    // No SO_REUSEPORT: with it two servers would share the port in silence.
    acceptor->set_option(tcp::acceptor::reuse_address(true), error);
  }
  if (!error && endpoint.address().is_v6()) {
    acceptor->set_option(asio::ip::v6_only(false), error);
  }
  if (!error) {
    acceptor->bind(endpoint, error);
  }
  if (!error) {
    acceptor->listen(asio::socket_base::max_listen_connections, error);
  }
  return error ? Unavailable(listen, error) : absl::OkStatus();
}

void HttpEdge::State::Accept() {
  const size_t loop = next_loop++ % kHttpLoops;
  acceptor->async_accept(loops[loop]->context,
                         [this, loop](const boost::system::error_code& error, tcp::socket socket) {
                           OnAccepted(loop, error, std::move(socket));
                         });
}

void HttpEdge::State::OnAccepted(size_t loop, const boost::system::error_code& error,
                                 tcp::socket socket) {
  if (!acceptor->is_open()) {
    return;
  }
  if (!error) {
    Admit(loop, std::move(socket));
    Accept();
    return;
  }
  if (const auto suppressed = accept_errors.Admit(clock.Monotonic())) {
    obs::Log(obs::Level::kWarn, "edge", "can't accept a connection",
             {{"error", error.message()}, {"suppressed", *suppressed}});
  }
  pause->expires_after(kAcceptPause);
  pause->async_wait([this](const boost::system::error_code& stopped) {
    if (!stopped && acceptor->is_open()) {
      Accept();
    }
  });
}

void HttpEdge::State::Admit(size_t loop, tcp::socket socket) {
  CallGate::Pass pass = connections.Enter();
  const bool is_admitted = pass.granted();
  if (!is_admitted && tls != nullptr) {
    return;  // a handshake only to say so would be more work than it spares
  }
  CallGate::Pass held = is_admitted ? std::move(pass) : refusals.Enter();
  if (!held.granted()) {
    return;  // closes the socket
  }
  HttpLoop& its_loop = *loops[loop];
  asio::post(its_loop.context, [this, &its_loop, is_admitted, socket = std::move(socket),
                                context = tls == nullptr ? nullptr : tls->Current(),
                                held = std::move(held)]() mutable {
    const auto connection = std::make_shared<HttpConnection>(std::move(socket), std::move(context),
                                                             shared, its_loop, std::move(held));
    is_admitted ? connection->Start() : connection->TurnAway();
  });
}

void HttpEdge::State::ForEach(void (HttpConnection::*what)()) {
  for (const auto& loop : loops) {
    loop->Post([loop = loop.get(), what] {
      // Held, since what is done to one may be its end.
      std::vector<std::shared_ptr<HttpConnection>> all;
      for (HttpConnection* connection : loop->connections) {
        if (auto held = connection->weak_from_this().lock()) {
          all.push_back(std::move(held));
        }
      }
      for (const auto& connection : all) {
        ((*connection).*what)();
      }
    });
  }
}

absl::StatusOr<std::unique_ptr<HttpEdge>> HttpEdge::Bind(Options options) {
  auto state = std::make_unique<State>(options);
  if (options.tls) {
    KLATCH_ASSIGN_OR_RETURN(state->tls,
                            HttpTls::Open(options.tls, options.requires_client_certificate));
  }
  KLATCH_RETURN_IF_ERROR(state->Listen(options.listen));
  base::Endpoint bound = options.listen;
  boost::system::error_code ignored;
  bound.port = state->acceptor->local_endpoint(ignored).port();
  return std::unique_ptr<HttpEdge>(new HttpEdge(std::move(state), bound.ToString()));
}

HttpEdge::HttpEdge(std::unique_ptr<State> state, std::string address)
    : state_(std::move(state)), address_(std::move(address)) {}

HttpEdge::~HttpEdge() { Shutdown(state_->clock.Monotonic()); }

void HttpEdge::Serve(std::shared_ptr<grpc::Channel> channel) {
  state_->shared.stub = std::make_unique<grpc::GenericStub>(std::move(channel));
  state_->loops[0]->Post([state = state_.get()] { state->Accept(); });
}

void HttpEdge::StopAccepting() {
  state_->shared.is_draining.store(true, std::memory_order_relaxed);
  state_->loops[0]->Post([state = state_.get()] {
    boost::system::error_code ignored;
    state->acceptor->close(ignored);
    state->pause->cancel();
    // Behind the last connection that was accepted.
    state->ForEach(&HttpConnection::Drain);
  });
}

void HttpEdge::Shutdown(base::MonotonicTime deadline) {
  if (std::exchange(state_->has_ended, true)) {
    return;
  }
  StopAccepting();
  if (!state_->connections.Drain(deadline) || !state_->refusals.Drain(deadline)) {
    state_->ForEach(&HttpConnection::Close);
  }
  state_->connections.Drain(base::MonotonicTime::max());
  state_->refusals.Drain(base::MonotonicTime::max());
  // What was cancelled may still be about to tell its loop.
  state_->shared.calls.Drain(base::MonotonicTime::max());
  for (const auto& loop : state_->loops) {
    loop->Join();
  }
  state_->shared.stub.reset();
}

void HttpEdge::Register(obs::MetricsRegistry& metrics) const {
  for (size_t i = 0; i < kHttpCodes.size(); ++i) {
    metrics.Add("klatch_http_requests_total", "Requests answered over HTTP, by code.",
                {{"code", std::to_string(kHttpCodes[i])}}, state_->shared.answers[i]);
  }
  metrics.AddGauge("klatch_http_connections", "Connections over HTTP.", {},
                   [this] { return static_cast<double>(state_->connections.under_way()); });
}

}  // namespace klatch
