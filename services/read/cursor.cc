#include "services/read/cursor.h"

#include <openssl/crypto.h>

#include <limits>
#include <utility>

#include "absl/strings/escaping.h"
#include "common/base/bytes.h"
#include "common/base/hash.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

constexpr char kVersion = 1;
constexpr size_t kBelowOffset = 2;
constexpr size_t kHeadBytes = 11;
constexpr size_t kDigestBytes = 16;

absl::Status Refused(std::string_view why) {
  return base::FieldError(absl::StatusCode::kInvalidArgument, "page_token", why);
}

std::string Escape(std::string_view bytes) {
  return absl::WebSafeBase64Escape(absl::string_view(bytes.data(), bytes.size()));
}

// With its length before it, so that no two lists of fields make the same bytes.
void AppendField(std::string& out, std::string_view field) {
  base::AppendLittleEndian<uint64_t>(out, field.size());
  out.append(field);
}

}  // namespace

Cursor::Cursor(std::string namespace_name, std::string key)
    : namespace_(std::move(namespace_name)), key_(std::move(key)) {}

std::string Cursor::Make(const PageScope& scope, UpdateId below) const {
  std::string bytes{kVersion, static_cast<char>(scope.kind)};
  base::AppendLittleEndian<uint64_t>(bytes, below.value());
  bytes.push_back(0);
  bytes += Digest(scope, bytes);
  return Escape(bytes);
}

absl::StatusOr<UpdateId> Cursor::Read(const PageScope& scope, std::string_view token) const {
  if (token.empty()) {
    return UpdateId(std::numeric_limits<uint64_t>::max());
  }
  if (token.size() > limits::kPageTokenBytesMax) {
    return Refused("is too long");
  }
  std::string bytes;
  // The decoder forgives padding and white space; a token must be spelt as it was given out.
  if (!absl::WebSafeBase64Unescape(absl::string_view(token.data(), token.size()), &bytes) ||
      bytes.size() != kHeadBytes + kDigestBytes || Escape(bytes) != token) {
    return Refused("is not one of this service's");
  }
  const std::string_view head = std::string_view(bytes).substr(0, kHeadBytes);
  const std::string_view digest = std::string_view(bytes).substr(kHeadBytes);
  const std::string expected = Digest(scope, head);
  // In constant time, so that answers don't tell how much of a forged digest was right.
  if (CRYPTO_memcmp(expected.data(), digest.data(), kDigestBytes) != 0) {
    return Refused("is damaged, or of another timeline or viewer");
  }
  if (head[0] != kVersion || head[1] != static_cast<char>(scope.kind)) {
    return Refused("is of another version or kind of timeline");
  }
  return UpdateId(base::LoadLittleEndian<uint64_t>(head, kBelowOffset));
}

std::string Cursor::Digest(const PageScope& scope, std::string_view head) const {
  std::string signed_bytes(head);
  signed_bytes.push_back(static_cast<char>(scope.kind));
  AppendField(signed_bytes, namespace_);
  AppendField(signed_bytes, scope.viewer.value());
  AppendField(signed_bytes, scope.subject);
  return base::KeyedDigest(key_, signed_bytes);
}

}  // namespace klatch
