#pragma once
// nats-server as a peer of live push: one publisher, and so many subscriptions to one subject on so
// many connections, over its text protocol on plain sockets. A reader that does no more than count
// messages is the fastest client that it can have.
//
// Thread safety: one thread at a time; Run starts and joins one that reads.
// Bound: kPostsAhead posts are under way, so that no connection becomes a slow consumer, whom
// nats-server drops.
// Errors: UNAVAILABLE, a connection could not be made or broke.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/status.h"

namespace klatch::versus {

// Counts the messages in what a connection sends, in whatever pieces it comes.
class NatsReader {
 public:
  // Messages that begin in these bytes; their payload may come later.
  uint64_t Take(std::string_view bytes);
  // Whether the server has asked for a sign of life, or answered to ours, since the last call.
  bool TakePing() { return std::exchange(pinged_, false); }
  bool TakePong() { return std::exchange(ponged_, false); }

 private:
  uint64_t TakeLine(std::string_view line);

  size_t skip_ = 0;      // of a payload and its line end
  std::string partial_;  // of a line
  bool pinged_ = false;
  bool ponged_ = false;
};

class NatsPeer {
 public:
  static constexpr uint64_t kPostsAhead = 200;

  // Connects and subscribes, `subscriptions` on each of `connections`.
  static absl::StatusOr<std::unique_ptr<NatsPeer>> Connect(int port, uint32_t connections,
                                                           uint32_t subscriptions);
  ~NatsPeer();
  NatsPeer(const NatsPeer&) = delete;
  NatsPeer& operator=(const NatsPeer&) = delete;

  // Publishes as fast as subscribers are told; messages per second that reached them.
  absl::StatusOr<double> Run(std::chrono::duration<double> time, size_t payload_bytes);

 private:
  struct Connection {
    int fd = -1;
    NatsReader reader;
  };

  NatsPeer() = default;
  absl::StatusOr<int> Open(int port) const;
  absl::Status Subscribe(Connection& connection, uint32_t subscriptions) const;
  void Read();

  std::vector<Connection> connections_;
  int publisher_ = -1;
  int epoll_ = -1;
  uint64_t audience_ = 0;
  // Counters and flags; they publish nothing, relaxed.
  std::atomic<uint64_t> told_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> broken_{false};
};

}  // namespace klatch::versus
