#pragma once
// Where a Redis is: redis://[[user]:password@]host[:port], rediss:// of the same by TLS, or
// unix:///path/to.sock (also unix:path).

#include <optional>
#include <string>
#include <string_view>

#include "common/base/status.h"
#include "common/redis/tls.h"

namespace klatch::redis {

struct Address {
  static absl::StatusOr<Address> Parse(std::string_view uri);
  // What may be shown of a text that was given as an address: user and password replaced by "***"
  // such that it still parses; all of it if it doesn't parse, since a password may then be anywhere.
  static std::string Redacted(std::string_view uri);

  bool is_unix() const { return !socket_path.empty(); }
  // For people and logs: never contains the password.
  std::string ToString() const;

  std::string host;
  int port = 6379;
  std::string socket_path;
  std::string user;
  std::string password;
  // By TLS if there is any; Parse knows of no files.
  std::optional<TlsOptions> tls;
};

}  // namespace klatch::redis
