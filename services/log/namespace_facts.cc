#include "services/log/namespace_facts.h"

#include <fmt/format.h>

#include <array>
#include <vector>

#include "common/base/hash.h"
#include "services/log/scripts.h"
#include "services/model/keys.h"

namespace klatch {
namespace {

using absl::StatusCode;

constexpr char kFormatVersion[] = "1";
constexpr size_t kCursorKeyBytes = 32;

std::string ToHex(std::string_view bytes) {
  std::string out;
  for (unsigned char byte : bytes) {
    out += fmt::format("{:02x}", byte);
  }
  return out;
}

// Empty if `hex` is no hexadecimal number of whole bytes.
std::string FromHex(std::string_view hex) {
  auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    const int high = digit(hex[i]);
    const int low = digit(hex[i + 1]);
    if (high < 0 || low < 0) {
      return "";
    }
    out.push_back(static_cast<char>(high * 16 + low));
  }
  return out;
}

absl::Status Mismatch(std::string_view name, std::string_view stored, std::string_view configured) {
  if (stored.empty()) {
    return base::Error(
        StatusCode::kFailedPrecondition,
        fmt::format("{} is missing in Redis beside other facts of the namespace", name));
  }
  return base::Error(StatusCode::kFailedPrecondition,
                     fmt::format("{} is {} in Redis but {} is configured; it is fixed when a "
                                 "namespace is made",
                                 name, stored, configured));
}

}  // namespace

absl::StatusOr<NamespaceFacts> OpenNamespace(redis::Connection& connection, const Layout& layout) {
  const std::string key = Keys(layout).Namespace();
  const std::vector<std::string> arguments = {
      "format",     kFormatVersion,
      "shards",     std::to_string(layout.shard_count),
      "partitions", std::to_string(layout.partition_count),
      "cursor_key", ToHex(base::RandomBytes(kCursorKeyBytes))};
  const redis::Command command = redis::Command::Eval(scripts::OpenNamespace(), {key}, arguments);
  absl::StatusOr<redis::Reply> reply = connection.Call(command);
  if (!reply.ok()) {
    return base::Annotate(reply.status(), fmt::format("open the namespace at {}", key));
  }
  const std::string_view format = (*reply)[0].text();
  if (!format.empty() && format != kFormatVersion) {
    return base::Error(StatusCode::kFailedPrecondition,
                       fmt::format("the namespace {} is stored in format {}; this version reads "
                                   "format {}",
                                   layout.name, format, kFormatVersion));
  }
  for (size_t i = 0; i < 3; ++i) {
    const std::string_view stored = (*reply)[i].text();
    if (stored != arguments[2 * i + 1]) {
      return Mismatch(arguments[2 * i], stored, arguments[2 * i + 1]);
    }
  }
  NamespaceFacts facts{FromHex((*reply)[3].text())};
  if (facts.cursor_key.size() != kCursorKeyBytes) {
    return base::Error(StatusCode::kFailedPrecondition,
                       fmt::format("key {} holds no cursor key", key));
  }
  return facts;
}

}  // namespace klatch
