#pragma once
// Connections that somebody else owns and closes, counted: gRPC says nobody when it closes one.
//
// A connection is known by its descriptor and the number that the kernel gave its socket (st_ino).
// It is gone when the descriptor is closed or is another file's by then, which a sweep finds out:
// 10,000 take some 4 ms.
//
//   if (!table.HasRoom(network)) { table.Sweep(); }
//   if (table.HasRoom(network)) { table.Add(fd, network); }
//
// Thread safety: one thread.
// Bounds: `max` connections, of one address half of them. Those of Unix sockets have no address,
// and share no bound but the first.

#include <sys/socket.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>

namespace klatch {

// Who connects, as far as a bound is concerned: an IPv4 address, or the /64 of an IPv6 one, which
// is what one host is given. Empty: a Unix socket.
std::string PeerNetwork(const sockaddr_storage& address);

class ConnectionTable {
 public:
  explicit ConnectionTable(size_t max);

  // As of the last sweep.
  bool HasRoom(const std::string& network) const;
  size_t size() const { return connections_.size(); }

  // `fd` is an open socket. One that was known under this number is gone. Returns the socket's own.
  ino_t Add(int fd, const std::string& network);
  void Sweep();

 private:
  struct Connection {
    ino_t socket = 0;
    std::string network;
  };
  void Forget(const Connection& connection);

  const size_t max_;
  const size_t max_per_network_;
  std::unordered_map<int, Connection> connections_;  // by descriptor
  std::unordered_map<std::string, size_t> networks_;
};

}  // namespace klatch
