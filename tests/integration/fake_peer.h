#pragma once
// A peer on a Unix socket that answers what a test wants, whatever it is asked: for what no real
// Redis does. Serves one connection after the other on a thread of its own, which ends with the
// object.

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

  // Answers `answer` to the first bytes of each connection, then closes it or stays silent.
  FakePeer(std::string answer, Then then) : answer_(std::move(answer)), then_(then) {
    address_.socket_path = (directory_.path() / "peer.sock").string();
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
    for (int fd : held_) {
      close(fd);
    }
  }

  FakePeer(const FakePeer&) = delete;
  FakePeer& operator=(const FakePeer&) = delete;

  const redis::Address& address() const { return address_; }

 private:
  void Serve() {
    while (true) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) {
        return;
      }
      char request[4096];
      if (!answer_.empty() && recv(fd, request, sizeof(request), 0) > 0) {
        static_cast<void>(send(fd, answer_.data(), answer_.size(), MSG_NOSIGNAL));
      }
      if (then_ == Then::kClose) {
        close(fd);
      } else {
        held_.push_back(fd);
      }
    }
  }

  const std::string answer_;
  const Then then_;
  TemporaryDirectory directory_;
  redis::Address address_;
  int listener_ = -1;
  // The thread's own until it is joined.
  std::vector<int> held_;
  std::thread thread_;
};

}  // namespace klatch::testing
