#pragma once
// A peer on a Unix socket that answers what a test wants, whatever it is asked: for what no real
// Redis does. Serves all connections on a thread of its own, which ends with the object.

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/redis/address.h"
#include "tests/integration/redis_server_fixture.h"

namespace klatch::testing {

class FakePeer {
 public:
  enum class Then { kClose, kHoldOpen };

  // Answers `answer` to the first bytes of each connection, then closes it or stays silent. Listens
  // at `socket_path`, where no file may be, or at a path of its own.
  FakePeer(std::string answer, Then then, const std::string& socket_path = "")
      : answer_(std::move(answer)), then_(then) {
    address_.socket_path =
        socket_path.empty() ? (directory_.path() / "peer.sock").string() : socket_path;
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::strncpy(name.sun_path, address_.socket_path.c_str(), sizeof(name.sun_path) - 1);
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&name), sizeof(name)), 0);
    EXPECT_EQ(listen(listener_, 64), 0);
    thread_ = std::thread([this] { Serve(); });
  }

  ~FakePeer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
    for (const auto* left : {&waiting_, &held_}) {
      for (int fd : *left) {
        close(fd);
      }
    }
    unlink(address_.socket_path.c_str());
  }

  FakePeer(const FakePeer&) = delete;
  FakePeer& operator=(const FakePeer&) = delete;

  const redis::Address& address() const { return address_; }
  // Connections that were accepted.
  int connections() const { return connections_.load(std::memory_order_relaxed); }
  // Those of them that got the answer.
  int answered() const { return answered_.load(std::memory_order_relaxed); }

 private:
  // Until the listener is shut down.
  void Serve() {
    while (true) {
      std::vector<pollfd> polled = {{listener_, POLLIN, 0}};
      for (int fd : waiting_) {
        polled.push_back({fd, POLLIN, 0});
      }
      poll(polled.data(), polled.size(), -1);
      if (polled[0].revents != 0 && !Accept()) {
        return;
      }
      for (size_t i = 1; i < polled.size(); ++i) {
        if (polled[i].revents != 0) {
          Answer(polled[i].fd);
        }
      }
    }
  }

  bool Accept() {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) {
      return false;
    }
    connections_.fetch_add(1, std::memory_order_relaxed);
    if (!answer_.empty()) {
      waiting_.push_back(fd);
    } else {
      Finish(fd);
    }
    return true;
  }

  void Answer(int fd) {
    std::erase(waiting_, fd);
    char request[4096];
    if (recv(fd, request, sizeof(request), 0) > 0) {
      static_cast<void>(send(fd, answer_.data(), answer_.size(), MSG_NOSIGNAL));
      answered_.fetch_add(1, std::memory_order_relaxed);
    }
    Finish(fd);
  }

  void Finish(int fd) {
    if (then_ == Then::kClose) {
      close(fd);
    } else {
      held_.push_back(fd);
    }
  }

  const std::string answer_;
  const Then then_;
  // Counters: they publish nothing.
  std::atomic<int> connections_{0};
  std::atomic<int> answered_{0};
  TemporaryDirectory directory_;
  redis::Address address_;
  int listener_ = -1;
  // The thread's own until it is joined: connections that have not asked yet, and those that stay.
  std::vector<int> waiting_;
  std::vector<int> held_;
  std::thread thread_;
};

}  // namespace klatch::testing
