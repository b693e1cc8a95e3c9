#pragma once
// Where an operator says that Redis is: at an address, or wherever the Sentinels of a group say that
// its master is:
//
//   redis://[[user]:password@]host[:port]    unix:///path/to.sock
//   sentinel://[[user]:password@]host[:port][,host[:port] …]/name
//
// rediss:// and rediss-sentinel:// are the same by TLS, the Sentinels as well as whom they name.
//
// User and password are the master's; Sentinels that want one of their own are not supported.
//
// Thread safety: plain values; FindMaster blocks. Bound: kSentinelsMax; FindMaster takes at most
// `timeout` twice for each Sentinel, to connect and to ask.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/redis/address.h"

namespace klatch::redis {

struct Place {
  static constexpr size_t kSentinelsMax = 16;

  // INVALID_ARGUMENT; the message repeats nothing of the text, which may hold a password.
  static absl::StatusOr<Place> Parse(std::string_view uri);
  // As Address::Redacted.
  static std::string Redacted(std::string_view uri);

  bool has_sentinels() const { return !sentinels.empty(); }
  bool is_by_tls() const { return address.tls.has_value(); }
  // How TLS is done, to all of them. REQUIRES: is_by_tls().
  void UseTls(const TlsOptions& options);
  // For people and logs: never contains the password.
  std::string ToString() const;

  // Of a group of Sentinels: its master's user and password.
  Address address;
  std::vector<Address> sentinels;
  std::string name;  // of the group
};

struct Master {
  Address address;
  // Grows with each failover that the Sentinels agreed on; 0 without them.
  uint64_t epoch = 0;
};

// Of several answers the one of the latest failover counts. UNAVAILABLE if no Sentinel answers;
// FAILED_PRECONDITION if those that answer know no master of that name, or are no Sentinels. An
// address without Sentinels is its own master, unasked.
absl::StatusOr<Master> FindMaster(const Place& place, std::chrono::milliseconds timeout);

}  // namespace klatch::redis
