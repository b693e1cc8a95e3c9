#include "services/model/page_tokens.h"

#include <openssl/crypto.h>

#include "absl/strings/escaping.h"
#include "common/base/bytes.h"
#include "common/base/hash.h"

namespace klatch {
namespace {

constexpr char kTokenVersion = 1;
constexpr size_t kDigestOffset = 1;
constexpr size_t kPayloadOffset = 17;

std::string Escape(std::string_view bytes) {
  return absl::WebSafeBase64Escape(absl::string_view(bytes.data(), bytes.size()));
}

// With its length before it, so that two lists of strings never make the same bytes.
void AppendDelimited(std::string& out, std::string_view part) {
  base::AppendLittleEndian<uint32_t>(out, static_cast<uint32_t>(part.size()));
  out.append(part);
}

absl::Status NotOurs() {
  return base::FieldError(absl::StatusCode::kInvalidArgument, "page_token",
                          "is not from a page of this list");
}

}  // namespace

std::string PageTokens::Digest(const Scope& scope, std::string_view payload) const {
  std::string bytes(1, kTokenVersion);
  AppendDelimited(bytes, namespace_);
  for (const std::string& part : scope) {
    AppendDelimited(bytes, part);
  }
  AppendDelimited(bytes, payload);
  return base::KeyedDigest(key_, bytes);
}

std::string PageTokens::Make(const Scope& scope, std::string_view payload) const {
  std::string bytes(1, kTokenVersion);
  bytes.append(Digest(scope, payload)).append(payload);
  return Escape(bytes);
}

absl::StatusOr<std::string> PageTokens::Read(const Scope& scope, std::string_view token) const {
  std::string bytes;
  // The decoder forgives padding and white space; a token must be spelt as it was given out.
  if (token.size() > token_bytes_max_ ||
      !absl::WebSafeBase64Unescape(absl::string_view(token.data(), token.size()), &bytes) ||
      bytes.size() < kPayloadOffset || bytes[0] != kTokenVersion || Escape(bytes) != token) {
    return NotOurs();
  }
  std::string payload = bytes.substr(kPayloadOffset);
  const std::string expected = Digest(scope, payload);
  // In constant time, so that answers don't tell how much of a forged digest was right.
  if (CRYPTO_memcmp(expected.data(), bytes.data() + kDigestOffset, expected.size()) != 0) {
    return NotOurs();
  }
  return payload;
}

}  // namespace klatch
