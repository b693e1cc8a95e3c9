#include "common/obs/http_server.h"

#include <fmt/format.h>
#include <httplib.h>
#include <pthread.h>
#include <sys/socket.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <future>
#include <mutex>
#include <thread>
#include <utility>

namespace klatch::obs {
namespace {

constexpr size_t kAnsweringThreads = 2;
constexpr size_t kWaitingConnectionsMax = 64;
constexpr size_t kRequestBodyBytesMax = 1024;
constexpr time_t kClientTimeoutSeconds = 5;
constexpr char kMetricsType[] = "text/plain; version=0.0.4; charset=utf-8";
constexpr char kPlainType[] = "text/plain; charset=utf-8";

// httplib's own pool queues without a bound; here the accepting thread waits instead.
class BoundedTaskQueue final : public httplib::TaskQueue {
 public:
  BoundedTaskQueue() {
    for (size_t i = 0; i < kAnsweringThreads; ++i) {
      threads_.emplace_back([this] {
        pthread_setname_np(pthread_self(), "obs-answer");
        Run();
      });
    }
  }

  void enqueue(std::function<void()> task) override {
    std::unique_lock lock(mutex_);
    has_room_.wait(lock, [this] { return tasks_.size() < kWaitingConnectionsMax; });
    tasks_.push_back(std::move(task));
    has_task_.notify_one();
  }

  // What is queued is still answered, so that every accepted socket gets closed.
  void shutdown() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    has_task_.notify_all();
    for (std::thread& thread : threads_) {
      thread.join();
    }
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    while (true) {
      has_task_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
      if (tasks_.empty()) {
        return;
      }
      std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      has_room_.notify_one();
      lock.unlock();
      task();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable has_task_;
  std::condition_variable has_room_;
  // Guarded by mutex_.
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;

  std::vector<std::thread> threads_;
};

std::string ReadinessText(const Readiness& readiness) {
  std::string text = readiness.ready ? "ready\n" : "not ready\n";
  for (const std::string& reason : readiness.reasons) {
    text.append(reason).push_back('\n');
  }
  return text;
}

void ConfigureLimits(httplib::Server& server) {
  server.set_keep_alive_max_count(1);
  server.set_read_timeout(kClientTimeoutSeconds);
  server.set_write_timeout(kClientTimeoutSeconds);
  server.set_payload_max_length(kRequestBodyBytesMax);
  // httplib's default sets SO_REUSEPORT too, with which two servers share a port in silence.
  server.set_socket_options([](socket_t socket) {
    const int on = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  });
}

void AddRoutes(httplib::Server& server, const ObservabilityServer::Sources& sources) {
  server.Get("/metrics", [&sources](const httplib::Request&, httplib::Response& response) {
    response.set_content(sources.metrics.Render(), kMetricsType);
  });
  server.Get("/livez", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("ok\n", kPlainType);
  });
  server.Get("/readyz", [&sources](const httplib::Request&, httplib::Response& response) {
    const Readiness readiness = sources.readiness();
    response.status = readiness.ready ? 200 : 503;
    response.set_content(ReadinessText(readiness), kPlainType);
  });
}

}  // namespace

struct ObservabilityServer::State {
  explicit State(Sources the_sources) : sources(std::move(the_sources)) {}

  Sources sources;
  httplib::Server server;
  int port = 0;
  // Fulfilled when the server accepts; before that httplib's stop() would do nothing.
  std::promise<void> accepting;
  std::thread thread;
};

absl::StatusOr<std::unique_ptr<ObservabilityServer>> ObservabilityServer::Start(
    std::string_view host, int port, Sources sources) {
  auto state = std::make_unique<State>(std::move(sources));
  httplib::Server& server = state->server;
  ConfigureLimits(server);
  AddRoutes(server, state->sources);
  server.new_task_queue = [&accepting = state->accepting] {
    accepting.set_value();
    return new BoundedTaskQueue;
  };
  const std::string host_name(host);
  errno = 0;
  state->port = port;
  if (port == 0) {
    state->port = server.bind_to_any_port(host_name);
  } else if (!server.bind_to_port(host_name, port)) {
    state->port = -1;
  }
  if (state->port < 0) {
    const std::string reason = errno != 0 ? std::strerror(errno) : "the host has no such address";
    return base::Error(absl::StatusCode::kUnavailable,
                       fmt::format("cannot listen on {}:{}: {}", host, port, reason));
  }
  state->thread = std::thread([&server] {
    pthread_setname_np(pthread_self(), "obs-accept");
    server.listen_after_bind();
  });
  state->accepting.get_future().wait();
  return std::unique_ptr<ObservabilityServer>(new ObservabilityServer(std::move(state)));
}

ObservabilityServer::ObservabilityServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

ObservabilityServer::~ObservabilityServer() { Stop(); }

int ObservabilityServer::port() const { return state_->port; }

void ObservabilityServer::Stop() {
  if (state_->thread.joinable()) {
    state_->server.stop();
    state_->thread.join();
  }
}

}  // namespace klatch::obs
