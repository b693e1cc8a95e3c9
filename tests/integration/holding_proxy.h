#pragma once
// A proxy between a Redis and who talks to it, on Unix sockets, that can hold back what one
// connection sends from a chosen moment on, and deliver it later: a network that lost a connection
// but not the bytes that were under way. Replies pass at any time. Or something else happens at Redis
// just before a command comes there.
//
// Thread safety: one thread at a time, besides the proxy's own.

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/redis/address.h"
#include "tests/integration/redis_server_fixture.h"

namespace klatch::testing {

class HoldingProxy {
 public:
  explicit HoldingProxy(redis::Address upstream) : upstream_(std::move(upstream)) {
    address_.socket_path = (directory_.path() / "proxy.sock").string();
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_un name = NameOf(address_);
    EXPECT_EQ(bind(listener_, reinterpret_cast<const sockaddr*>(&name), sizeof(name)), 0);
    EXPECT_EQ(listen(listener_, 64), 0);
    thread_ = std::thread([this] { Run(); });
  }
  ~HoldingProxy() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    thread_.join();
    close(listener_);
    for (const Pair& pair : pairs_) {
      Close(pair.client);
      close(pair.server);
    }
  }
  HoldingProxy(const HoldingProxy&) = delete;
  HoldingProxy& operator=(const HoldingProxy&) = delete;

  const redis::Address& address() const { return address_; }

  // Holds back what next arrives with all of `needles` in it, and all that follows on its
  // connection.
  void HoldNext(std::vector<std::string> needles) {
    std::lock_guard lock(mutex_);
    needles_ = std::move(needles);
  }
  // Calls `act`, on the proxy's thread, before what arrives with all of `needles` in it passes; so often.
  void BeforeNext(std::vector<std::string> needles, int times, std::function<void()> act) {
    std::lock_guard lock(mutex_);
    acts_on_ = std::move(needles);
    acts_left_ = times;
    act_ = std::move(act);
  }
  int acts_left() {
    std::lock_guard lock(mutex_);
    return acts_left_;
  }
  // False if nothing was held within `patience`.
  bool AwaitHeld(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [this] { return held_bytes_ > 0; });
  }
  // Delivers what is held, and waits until Redis has answered all of it; false if it did not within
  // `patience`.
  bool Release(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    released_ = true;
    return changed_.wait_for(lock, patience, [this] { return answered_; });
  }

 private:
  struct Pair {
    int client = -1;
    int server = -1;
    bool holds = false;
    std::string held;
  };

  static sockaddr_un NameOf(const redis::Address& address) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::strncpy(name.sun_path, address.socket_path.c_str(), sizeof(name.sun_path) - 1);
    return name;
  }
  static void Close(int fd) {
    if (fd >= 0) {
      close(fd);
    }
  }
  static void SendAll(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) {
        return;
      }
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }

  void Run() {
    while (true) {
      std::vector<pollfd> fds{{listener_, POLLIN, 0}};
      for (const Pair& pair : pairs_) {
        fds.push_back({pair.client, POLLIN, 0});
        fds.push_back({pair.server, POLLIN, 0});
      }
      poll(fds.data(), fds.size(), 2);
      std::lock_guard lock(mutex_);
      if (stopping_) {
        return;
      }
      size_t i = 1;
      for (Pair& pair : pairs_) {
        FromClient(pair, fds[i++].revents != 0);
        FromServer(pair, fds[i++].revents != 0);
      }
      pairs_.remove_if([](const Pair& pair) { return pair.server < 0; });
      if (fds[0].revents != 0) {
        Accept();
      }
    }
  }
  void Accept() {
    Pair pair;
    pair.client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    pair.server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_un name = NameOf(upstream_);
    EXPECT_EQ(connect(pair.server, reinterpret_cast<const sockaddr*>(&name), sizeof(name)), 0);
    pairs_.push_back(std::move(pair));
  }
  void FromClient(Pair& pair, bool ready) {
    if (pair.holds && released_ && !pair.held.empty()) {
      SendAll(pair.server, std::exchange(pair.held, {}));
      // Redis answers all of it, then sees the end.
      shutdown(pair.server, SHUT_WR);
    }
    if (!ready || pair.client < 0) {
      return;
    }
    std::string bytes(1 << 20, '\0');
    const ssize_t count = recv(pair.client, bytes.data(), bytes.size(), 0);
    if (count <= 0) {
      Close(std::exchange(pair.client, -1));
      if (!pair.holds) {
        Close(std::exchange(pair.server, -1));
      }
      return;
    }
    bytes.resize(static_cast<size_t>(count));
    if (acts_left_ > 0 && Matches(bytes, acts_on_)) {
      --acts_left_;
      act_();
    }
    if (!pair.holds && Matches(bytes, needles_)) {
      needles_.clear();
      pair.holds = true;
    }
    if (pair.holds) {
      pair.held += bytes;
      held_bytes_ += bytes.size();
      changed_.notify_all();
    } else {
      SendAll(pair.server, bytes);
    }
  }
  void FromServer(Pair& pair, bool ready) {
    if (!ready || pair.server < 0) {
      return;
    }
    char bytes[1 << 16];
    const ssize_t count = recv(pair.server, bytes, sizeof(bytes), 0);
    if (count <= 0) {
      answered_ = answered_ || (pair.holds && released_);
      changed_.notify_all();
      Close(std::exchange(pair.server, -1));
      Close(std::exchange(pair.client, -1));
    } else if (pair.client >= 0) {
      SendAll(pair.client, {bytes, static_cast<size_t>(count)});
    }
  }
  static bool Matches(const std::string& bytes, const std::vector<std::string>& needles) {
    for (const std::string& needle : needles) {
      if (bytes.find(needle) == std::string::npos) {
        return false;
      }
    }
    return !needles.empty();
  }

  const redis::Address upstream_;
  TemporaryDirectory directory_;
  redis::Address address_;
  int listener_ = -1;
  std::list<Pair> pairs_;  // the thread's own until it is joined

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::vector<std::string> needles_;
  std::vector<std::string> acts_on_;
  int acts_left_ = 0;
  std::function<void()> act_;
  size_t held_bytes_ = 0;
  bool released_ = false;
  bool answered_ = false;
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace klatch::testing
