#include "services/klatchd/connection_table.h"

#include <netinet/in.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

namespace klatch {
namespace {

// Of all connections those of one address may be so large a part, so that nobody takes them all.
constexpr size_t kNetworkShare = 2;
constexpr size_t kIpv6NetworkBytes = 8;

std::string Bytes(const void* bytes, size_t size) {
  return {static_cast<const char*>(bytes), size};
}

// 0: closed.
ino_t SocketOf(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) ? status.st_ino : 0;
}

}  // namespace

std::string PeerNetwork(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    const auto& ipv4 = reinterpret_cast<const sockaddr_in&>(address);
    return Bytes(&ipv4.sin_addr, sizeof(ipv4.sin_addr));
  }
  if (address.ss_family != AF_INET6) {
    return "";
  }
  const in6_addr& ipv6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&ipv6)) {
    return Bytes(&ipv6.s6_addr[sizeof(ipv6) - sizeof(in_addr)], sizeof(in_addr));
  }
  return Bytes(&ipv6, kIpv6NetworkBytes);
}

ConnectionTable::ConnectionTable(size_t max)
    : max_(max), max_per_network_(std::max<size_t>(1, max / kNetworkShare)) {}

bool ConnectionTable::HasRoom(const std::string& network) const {
  if (connections_.size() >= max_) {
    return false;
  }
  const auto found = networks_.find(network);
  return network.empty() || found == networks_.end() || found->second < max_per_network_;
}

ino_t ConnectionTable::Add(int fd, const std::string& network) {
  const auto [known, is_new] = connections_.try_emplace(fd);
  if (!is_new) {
    Forget(known->second);
  }
  known->second = {SocketOf(fd), network};
  ++networks_[network];
  return known->second.socket;
}

void ConnectionTable::Sweep() {
  for (auto it = connections_.begin(); it != connections_.end();) {
    const ino_t socket = SocketOf(it->first);
    if (socket != 0 && socket == it->second.socket) {
      ++it;
      continue;
    }
    Forget(it->second);
    it = connections_.erase(it);
  }
}

void ConnectionTable::Forget(const Connection& connection) {
  const auto found = networks_.find(connection.network);
  if (found != networks_.end() && --found->second == 0) {
    networks_.erase(found);
  }
}

}  // namespace klatch
