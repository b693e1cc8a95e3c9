#include "common/redis/address.h"

#include <fmt/format.h>
#include <sys/un.h>

#include <charconv>
#include <optional>

namespace klatch::redis {
namespace {

constexpr size_t kSocketPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;

// The address may hold a password, so messages never repeat it.
absl::Status Invalid(std::string_view what) {
  return base::Error(
      absl::StatusCode::kInvalidArgument,
      fmt::format("{}; expected redis://[[user]:password@]host[:port], rediss:// for TLS, or "
                  "unix:///path/to.sock",
                  what));
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  if (c >= 'A' && c <= 'F') {
    return c - 'A' + 10;
  }
  return -1;
}

std::optional<std::string> PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    if (text.size() - i < 3 || HexDigit(text[i + 1]) < 0 || HexDigit(text[i + 2]) < 0) {
      return std::nullopt;
    }
    out.push_back(static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2])));
    i += 2;
  }
  return out;
}

bool TakePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) {
    return false;
  }
  text.remove_prefix(prefix.size());
  return true;
}

// Takes "user:password@" off the front of `authority`, if it is there. The last '@' ends it, so a
// password with an unescaped '@' is still read whole.
absl::Status TakeCredentials(std::string_view& authority, Address& address) {
  size_t at = authority.rfind('@');
  if (at == std::string_view::npos) {
    return absl::OkStatus();
  }
  std::string_view credentials = authority.substr(0, at);
  authority.remove_prefix(at + 1);
  size_t colon = credentials.find(':');
  if (colon == std::string_view::npos) {
    return Invalid("the part before '@' has no ':' between user and password");
  }
  auto user = PercentDecode(credentials.substr(0, colon));
  auto password = PercentDecode(credentials.substr(colon + 1));
  if (!user || !password) {
    return Invalid("'%' in user or password must be followed by two hexadecimal digits");
  }
  if (password->empty()) {
    return Invalid("the password is empty");
  }
  address.user = *std::move(user);
  address.password = *std::move(password);
  return absl::OkStatus();
}

absl::Status ParsePort(std::string_view text, int& port) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port < 1 || port > 65535) {
    return Invalid("the port must be a number from 1 to 65535");
  }
  return absl::OkStatus();
}

absl::Status ParseHostAndPort(std::string_view text, Address& address) {
  size_t colon = text.rfind(':');
  if (text.starts_with('[')) {
    size_t bracket = text.find(']');
    if (bracket == std::string_view::npos) {
      return Invalid("'[' without ']'");
    }
    address.host = text.substr(1, bracket - 1);
    text.remove_prefix(bracket + 1);
    colon = text.empty() ? std::string_view::npos : 0;
    if (!text.empty() && text[0] != ':') {
      return Invalid("after ']' only ':port' may follow");
    }
  } else {
    address.host = text.substr(0, colon);
    if (address.host.find(':') != std::string::npos) {
      return Invalid("an IPv6 host must stand in brackets, as in redis://[::1]:6379");
    }
  }
  if (address.host.empty()) {
    return Invalid("no host");
  }
  if (address.host.find('\0') != std::string::npos) {
    return Invalid("the host holds a zero byte");
  }
  return colon == std::string_view::npos ? absl::OkStatus()
                                         : ParsePort(text.substr(colon + 1), address.port);
}

absl::Status ParseSocketPath(std::string_view path, Address& address) {
  if (path.empty()) {
    return Invalid("no path after unix:");
  }
  if (path.find('\0') != std::string_view::npos) {
    return Invalid("the path holds a zero byte");
  }
  if (path.size() > kSocketPathBytesMax) {
    return Invalid(fmt::format("the path has {} bytes, but a Unix socket's path has at most {}",
                               path.size(), kSocketPathBytesMax));
  }
  address.socket_path = path;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Address> Address::Parse(std::string_view uri) {
  Address address;
  if (TakePrefix(uri, "unix://")) {
    if (!uri.starts_with('/')) {
      size_t slash = uri.find("@/");
      if (slash == std::string_view::npos) {
        return Invalid("the path after unix:// must begin with '/'");
      }
      std::string_view credentials = uri.substr(0, slash + 1);
      KLATCH_RETURN_IF_ERROR(TakeCredentials(credentials, address));
      uri.remove_prefix(slash + 1);
    }
    KLATCH_RETURN_IF_ERROR(ParseSocketPath(uri, address));
    return address;
  }
  if (TakePrefix(uri, "unix:")) {
    KLATCH_RETURN_IF_ERROR(ParseSocketPath(uri, address));
    return address;
  }
  if (TakePrefix(uri, "rediss://")) {
    address.tls.emplace();
  } else if (!TakePrefix(uri, "redis://")) {
    return Invalid("it begins with neither redis:// nor rediss:// nor unix:");
  }
  KLATCH_RETURN_IF_ERROR(TakeCredentials(uri, address));
  if (uri.ends_with('/')) {
    uri.remove_suffix(1);
  }
  if (uri.find_first_of("/?#") != std::string_view::npos) {
    return Invalid("a database number or options after the port are not supported");
  }
  KLATCH_RETURN_IF_ERROR(ParseHostAndPort(uri, address));
  return address;
}

std::string Address::Redacted(std::string_view uri) {
  const auto address = Parse(uri);
  if (!address.ok()) {
    return uri.empty() ? "" : "***";
  }
  if (address->password.empty()) {
    return std::string(uri);
  }
  const size_t scheme_end = uri.find("://") + std::string_view("://").size();
  // Where Parse ends the password.
  const size_t at = address->is_unix() ? uri.find("@/") : uri.rfind('@');
  return fmt::format("{}***:***{}", uri.substr(0, scheme_end), uri.substr(at));
}

std::string Address::ToString() const {
  if (is_unix()) {
    return fmt::format("unix:{}", socket_path);
  }
  const std::string_view scheme = tls ? "rediss" : "redis";
  const std::string who = user.empty() ? "" : user + "@";
  if (host.find(':') != std::string::npos) {
    return fmt::format("{}://{}[{}]:{}", scheme, who, host, port);
  }
  return fmt::format("{}://{}{}:{}", scheme, who, host, port);
}

}  // namespace klatch::redis
