#pragma once
// Keys of those who issue tokens, and what a token that one of them has signed says: JSON Web Tokens
// (RFC 7519) by libjwt.
//
// The algorithm is the key's, never the token's: RS256 for an RSA key of 2,048 bits or more, ES256 for one
// of P-256. A token that names another, "none", or one whose secret would be the public key, is refused
// before any key is tried. There are no shared secrets.
//
// Thread safety: TokenKeys is immutable; Verify is pure.
// Bounds: kKeysMax keys of kKeyBytesMax; a token of kTokenBytesMax.

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"

namespace klatch {

struct VerifiedToken {
  std::string subject;
  base::WallTime expires;
};

class TokenKeys {
 public:
  static constexpr size_t kKeysMax = 100;
  static constexpr size_t kKeyBytesMax = 16 * 1024;
  static constexpr size_t kTokenBytesMax = 4 * 1024;
  // Clocks that differ by less than this do no harm.
  static constexpr std::chrono::seconds kLeeway{30};

  // Public keys in PEM, by the "kid" that a token's header names: its text is added one by one.
  // INVALID_ARGUMENT, reading after the file's name, for what is no such key.
  absl::Status Add(const std::string& kid, std::string pem);
  // Those of the files <kid>.pem of a folder; other files are passed over. What is no such key, or can't be
  // read, is left out and named, INVALID_ARGUMENT, in `problems`: of a folder that is read again a key that was
  // taken away is gone, whatever else is wrong there.
  static TokenKeys Load(const std::string& folder, std::vector<absl::Status>& problems);

  // UNAUTHENTICATED says what is wrong, and nothing of the token but the name of its key. Whoever has
  // signed it: `audience` is among its "aud", `issuer` is its "iss", it has an "exp" and that and "nbf", if
  // it has one, hold at `now`, and it has a "sub".
  absl::StatusOr<VerifiedToken> Verify(const std::string& token, const std::string& audience,
                                       const std::string& issuer, base::WallTime now) const;

  bool empty() const { return keys_.empty(); }
  friend bool operator==(const TokenKeys&, const TokenKeys&) = default;

 private:
  struct Key {
    std::string algorithm;
    std::string pem;
    friend bool operator==(const Key&, const Key&) = default;
  };

  std::unordered_map<std::string, Key> keys_;
};

}  // namespace klatch
