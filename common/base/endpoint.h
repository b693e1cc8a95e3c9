#pragma once
// Where a server listens or is called: "127.0.0.1:7420", "[::1]:7420", "localhost:0" or
// "unix:/run/klatch.sock". A value; nothing is resolved or opened.

#include <string>
#include <string_view>

#include "common/base/status.h"

namespace klatch::base {

struct Endpoint {
  // Port 0 asks the system for a free one. Errors say what is wrong in one line that reads after
  // the name of the option: INVALID_ARGUMENT "has the port \"65536\"; wants a number from 0 to
  // 65535".
  static absl::StatusOr<Endpoint> Parse(std::string_view text);

  bool is_unix() const { return !socket_path.empty(); }
  // 127.0.0.0/8, ::1, localhost, or a Unix socket: what may be served in plain text.
  bool is_loopback() const;
  std::string ToString() const;

  friend bool operator==(const Endpoint&, const Endpoint&) = default;

  std::string host;         // without brackets; empty for a Unix socket
  int port = 0;             // [0, 65535]
  std::string socket_path;  // empty for TCP
};

}  // namespace klatch::base
