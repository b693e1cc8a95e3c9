#include "common/base/endpoint.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/un.h>

#include "common/base/option_value.h"

namespace klatch::base {
namespace {

constexpr int64_t kPortMax = 65'535;
constexpr std::string_view kUnixPrefix = "unix:";
// What sun_path holds beside its final NUL.
constexpr size_t kSocketPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;

absl::Status Invalid(std::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, message);
}

absl::StatusOr<Endpoint> ParseUnix(std::string_view path) {
  while (path.starts_with("//")) {
    path.remove_prefix(1);
  }
  if (path.empty()) {
    return Invalid("names no path; wants unix:/path");
  }
  if (path.size() > kSocketPathBytesMax) {
    return Invalid(fmt::format("has a path of {} bytes; a Unix socket's has at most {}",
                               path.size(), kSocketPathBytesMax));
  }
  Endpoint endpoint;
  endpoint.socket_path = path;
  return endpoint;
}

absl::StatusOr<int> ParsePort(std::string_view text) {
  const absl::StatusOr<int64_t> port = ParseCount(text);
  if (!port.ok() || *port < 0 || *port > kPortMax) {
    return Invalid(fmt::format("has the port {}; wants a number from 0 to {}",
                               QuoteForMessage(text), kPortMax));
  }
  return static_cast<int>(*port);
}

}  // namespace

absl::StatusOr<Endpoint> Endpoint::Parse(std::string_view text) {
  if (text.starts_with(kUnixPrefix)) {
    return ParseUnix(text.substr(kUnixPrefix.size()));
  }
  const size_t colon = text.rfind(':');
  const bool inside_brackets =
      colon != std::string_view::npos && text.find(']', colon) != std::string_view::npos;
  if (colon == std::string_view::npos || inside_brackets) {
    return Invalid("has no port; wants host:port or unix:/path");
  }
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    in6_addr ignored;
    if (inet_pton(AF_INET6, std::string(host).c_str(), &ignored) != 1) {
      return Invalid(
          fmt::format("has {} in brackets, which is no IPv6 address", QuoteForMessage(host)));
    }
  } else if (host.find_first_of(":[]") != std::string_view::npos) {
    return Invalid("has colons in its host; wants an IPv6 address in brackets, as in [::1]:7420");
  }
  if (host.empty()) {
    return Invalid("has no host; wants host:port, such as 127.0.0.1:7420");
  }
  if (host.find_first_of(" \t\r\n/@") != std::string_view::npos) {
    return Invalid("is no host and port; wants host:port or unix:/path");
  }
  Endpoint endpoint;
  endpoint.host = host;
  KLATCH_ASSIGN_OR_RETURN(endpoint.port, ParsePort(text.substr(colon + 1)));
  return endpoint;
}

bool Endpoint::is_loopback() const {
  if (is_unix() || host == "localhost" || host == "::1") {
    return true;
  }
  in_addr address;
  constexpr uint32_t kLoopbackNet = 127;
  return inet_pton(AF_INET, host.c_str(), &address) == 1 &&
         (ntohl(address.s_addr) >> 24) == kLoopbackNet;
}

std::string Endpoint::ToString() const {
  if (is_unix()) {
    return "unix:" + socket_path;
  }
  const bool is_ipv6 = host.find(':') != std::string::npos;
  return is_ipv6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

}  // namespace klatch::base
