#include "tests/sim/redis_twin_server.h"

#include <absl/strings/ascii.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "tests/sim/fake_redis_wire.h"

namespace klatch::testing {
namespace {

constexpr int kWaitMs = 20;

int Listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener, SOMAXCONN) != 0) {
    std::perror("listen");
    std::abort();
  }
  return listener;
}

void Write(redis::ReplyView reply, sim::RespWriter& out) {
  if (reply.is_array()) {
    out.Array(reply.size());
    for (size_t i = 0; i < reply.size(); ++i) {
      Write(reply[i], out);
    }
  } else if (reply.is_error()) {
    out.Error(reply.text());
  } else if (reply.is_status()) {
    out.Status(reply.text());
  } else if (reply.is_integer()) {
    out.Integer(reply.integer());
  } else if (reply.is_nil()) {
    out.Nil();
  } else {
    out.Bulk(reply.text());
  }
}

}  // namespace

struct RedisTwinServer::Client {
  Client(int socket, std::unique_ptr<RedisTwins::Link> twin_link)
      : fd(socket), link(std::move(twin_link)) {}
  ~Client() {
    ::close(fd);
    redisReaderFree(reader);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  const int fd;
  const std::unique_ptr<RedisTwins::Link> link;
  // A command is an array of strings, and so is read as a reply.
  redisReader* const reader = redisReaderCreate();
};

RedisTwinServer::RedisTwinServer(RedisTwins& twins) : twins_(twins) {
  address_.socket_path = directory_.path() / "twins.sock";
  listener_ = Listen(address_.socket_path);
  thread_ = std::thread([this] { Run(); });
}

RedisTwinServer::~RedisTwinServer() { Stop(); }

void RedisTwinServer::Stop() {
  if (thread_.joinable()) {
    is_stopping_ = true;
    thread_.join();
    clients_.clear();
    ::close(listener_);
  }
}

std::set<std::string> RedisTwinServer::scripts() const {
  const std::lock_guard lock(mutex_);
  return scripts_;
}

void RedisTwinServer::With(const std::function<void(RedisTwins&)>& action) {
  const std::lock_guard lock(mutex_);
  action(twins_);
}

void RedisTwinServer::Run() {
  while (!is_stopping_) {
    std::vector<pollfd> sockets = {{listener_, POLLIN, 0}};
    for (const auto& client : clients_) {
      sockets.push_back({client->fd, POLLIN, 0});
    }
    ::poll(sockets.data(), sockets.size(), kWaitMs);
    for (size_t i = sockets.size() - 1; i > 0; --i) {
      if (sockets[i].revents != 0 && !Serve(*clients_[i - 1])) {
        clients_.erase(clients_.begin() + static_cast<std::ptrdiff_t>(i) - 1);
      }
    }
    if ((sockets[0].revents & POLLIN) != 0) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd >= 0) {
        clients_.push_back(std::make_unique<Client>(fd, twins_.Connect()));
      }
    }
  }
}

bool RedisTwinServer::Serve(Client& client) {
  std::array<char, 64 * 1024> bytes;
  const ssize_t size = ::recv(client.fd, bytes.data(), bytes.size(), 0);
  if (size <= 0 ||
      redisReaderFeed(client.reader, bytes.data(), static_cast<size_t>(size)) != REDIS_OK) {
    return false;
  }
  for (;;) {
    void* command = nullptr;
    if (redisReaderGetReply(client.reader, &command) != REDIS_OK) {
      return false;
    }
    if (command == nullptr) {
      return true;
    }
    if (!Answer(client, redis::Reply(static_cast<redisReply*>(command)).view())) {
      return false;
    }
  }
}

bool RedisTwinServer::Answer(Client& client, redis::ReplyView command) {
  std::vector<std::string> args;
  for (size_t i = 0; i < command.size(); ++i) {
    args.emplace_back(command[i].text());
  }
  sim::RespWriter out;
  {
    const std::lock_guard lock(mutex_);
    if (args.size() > 1 && absl::AsciiStrToUpper(args[0]) == "EVAL") {
      scripts_.insert(args[1]);
    }
    Write(twins_.Call(*client.link, args).view(), out);
  }
  std::string_view left = out.bytes();
  while (!left.empty()) {
    const ssize_t sent = ::send(client.fd, left.data(), left.size(), MSG_NOSIGNAL);
    if (sent <= 0) {
      return false;
    }
    left.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

}  // namespace klatch::testing
