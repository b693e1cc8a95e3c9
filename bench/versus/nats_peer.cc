#include "bench/versus/nats_peer.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <thread>

namespace klatch::versus {
namespace {

constexpr size_t kBufferBytes = 256 << 10;
constexpr int kEventsMax = 64;
constexpr int kPollMs = 20;
constexpr uint64_t kPostsPerWrite = 20;
constexpr std::chrono::microseconds kPause{20};
constexpr std::chrono::seconds kDrainMax{10};
constexpr std::string_view kHello = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";

bool WriteWhole(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (written <= 0) {
      return false;
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

absl::Status Broken(std::string_view what) {
  return base::Error(absl::StatusCode::kUnavailable, fmt::format("nats-server: {}", what));
}

}  // namespace

uint64_t NatsReader::Take(std::string_view bytes) {
  uint64_t messages = 0;
  while (!bytes.empty()) {
    if (skip_ > 0) {
      const size_t skipped = std::min(skip_, bytes.size());
      skip_ -= skipped;
      bytes.remove_prefix(skipped);
      continue;
    }
    const void* end = std::memchr(bytes.data(), '\n', bytes.size());
    if (end == nullptr) {
      partial_ += bytes;
      break;
    }
    const auto length = static_cast<size_t>(static_cast<const char*>(end) - bytes.data());
    if (partial_.empty()) {
      messages += TakeLine(bytes.substr(0, length));
    } else {
      partial_ += bytes.substr(0, length);
      messages += TakeLine(partial_);
      partial_.clear();
    }
    bytes.remove_prefix(length + 1);
  }
  return messages;
}

// "MSG s 17 100\r": subject, subscription, bytes of the payload, behind which a line ends.
uint64_t NatsReader::TakeLine(std::string_view line) {
  if (line.starts_with("MSG ")) {
    const size_t space = line.rfind(' ');
    size_t payload = 0;
    std::from_chars(line.data() + space + 1, line.data() + line.size(), payload);
    skip_ = payload + 2;
    return 1;
  }
  pinged_ = pinged_ || line.starts_with("PING");
  ponged_ = ponged_ || line.starts_with("PONG");
  return 0;
}

absl::StatusOr<int> NatsPeer::Open(int port) const {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(static_cast<uint16_t>(port));
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof(name)) != 0 ||
      !WriteWhole(fd, kHello)) {
    close(fd);
    return Broken("cannot connect");
  }
  return fd;
}

// Behind the subscriptions a sign of life: with the answer to it they are in force.
absl::Status NatsPeer::Subscribe(Connection& connection, uint32_t subscriptions) const {
  std::string orders;
  for (uint32_t i = 1; i <= subscriptions; ++i) {
    orders += fmt::format("SUB s {}\r\n", i);
  }
  if (!WriteWhole(connection.fd, orders + "PING\r\n")) {
    return Broken("cannot subscribe");
  }
  char buffer[4096];
  while (!connection.reader.TakePong()) {
    const ssize_t got = recv(connection.fd, buffer, sizeof(buffer), 0);
    if (got <= 0) {
      return Broken("ended while subscribing");
    }
    connection.reader.Take({buffer, static_cast<size_t>(got)});
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<NatsPeer>> NatsPeer::Connect(int port, uint32_t connections,
                                                            uint32_t subscriptions) {
  std::unique_ptr<NatsPeer> peer(new NatsPeer());
  peer->audience_ = uint64_t{connections} * subscriptions;
  peer->epoll_ = epoll_create1(EPOLL_CLOEXEC);
  KLATCH_ASSIGN_OR_RETURN(peer->publisher_, peer->Open(port));
  for (uint32_t i = 0; i < connections; ++i) {
    Connection& connection = peer->connections_.emplace_back();
    KLATCH_ASSIGN_OR_RETURN(connection.fd, peer->Open(port));
    KLATCH_RETURN_IF_ERROR(peer->Subscribe(connection, subscriptions));
    epoll_event event{.events = EPOLLIN, .data = {.u32 = i}};
    epoll_ctl(peer->epoll_, EPOLL_CTL_ADD, connection.fd, &event);
  }
  return peer;
}

NatsPeer::~NatsPeer() {
  for (const Connection& connection : connections_) {
    close(connection.fd);
  }
  for (const int fd : {publisher_, epoll_}) {
    if (fd >= 0) {
      close(fd);
    }
  }
}

void NatsPeer::Read() {
  std::vector<char> buffer(kBufferBytes);
  epoll_event events[kEventsMax];
  while (!stopping_.load(std::memory_order_relaxed)) {
    const int count = epoll_wait(epoll_, events, kEventsMax, kPollMs);
    for (int i = 0; i < count; ++i) {
      Connection& connection = connections_[events[i].data.u32];
      const ssize_t got = recv(connection.fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got == 0) {
        broken_.store(true, std::memory_order_relaxed);
        return;
      }
      if (got > 0) {
        told_.fetch_add(connection.reader.Take({buffer.data(), static_cast<size_t>(got)}),
                        std::memory_order_relaxed);
      }
      if (connection.reader.TakePing()) {
        WriteWhole(connection.fd, "PONG\r\n");
      }
    }
  }
}

absl::StatusOr<double> NatsPeer::Run(std::chrono::duration<double> time, size_t payload_bytes) {
  std::string posts;
  for (uint64_t i = 0; i < kPostsPerWrite; ++i) {
    posts += fmt::format("PUB s {}\r\n{}\r\n", payload_bytes, std::string(payload_bytes, 'x'));
  }
  stopping_.store(false, std::memory_order_relaxed);
  told_.store(0, std::memory_order_relaxed);
  std::thread reading([this] { Read(); });
  const auto start = std::chrono::steady_clock::now();
  const auto elapsed = [start] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start);
  };
  const auto told = [this] { return told_.load(std::memory_order_relaxed); };
  const auto broken = [this] { return broken_.load(std::memory_order_relaxed); };
  uint64_t published = 0;
  while (elapsed() < time && !broken()) {
    if (published * audience_ > told() + kPostsAhead * audience_) {
      std::this_thread::sleep_for(kPause);
    } else if (WriteWhole(publisher_, posts)) {
      published += kPostsPerWrite;
    } else {
      broken_.store(true, std::memory_order_relaxed);
    }
  }
  // The last message inside the clock.
  while (told() < published * audience_ && !broken() && elapsed() < time + kDrainMax) {
    std::this_thread::sleep_for(kPause);
  }
  const double rate = static_cast<double>(told()) / elapsed().count();
  stopping_.store(true, std::memory_order_relaxed);
  reading.join();
  return broken() || told() < published * audience_
             ? absl::StatusOr<double>(Broken("dropped a subscriber"))
             : rate;
}

}  // namespace klatch::versus
