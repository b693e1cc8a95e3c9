#pragma once
// Where a Redis is: redis://[[user]:password@]host[:port] or unix:///path/to.sock (also unix:path).

#include <string>
#include <string_view>

#include "common/base/status.h"

namespace klatch::redis {

struct Address {
  static absl::StatusOr<Address> Parse(std::string_view uri);

  bool is_unix() const { return !socket_path.empty(); }
  // For people and logs: never contains the password.
  std::string ToString() const;

  std::string host;
  int port = 6379;
  std::string socket_path;
  std::string user;
  std::string password;
};

}  // namespace klatch::redis
