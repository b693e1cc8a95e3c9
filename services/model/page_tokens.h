#pragma once
// Page tokens of every list: where the next page goes on, signed, good only for the list and the
// person that they were made for.
//
//   base64url without padding of:  offset  bytes  field
//                                  0       1      format version, 1
//                                  1       16     KeyedDigest over namespace, scope and payload
//                                  17      …      payload: what the list needs to go on
//
// Thread safety: const after construction.
// Errors: INVALID_ARGUMENT ("page_token") for anything that Make did not return for the same scope.

#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "services/model/limits.h"

namespace klatch {

class PageTokens {
 public:
  // Read refuses tokens that are longer than `token_bytes_max`.
  PageTokens(std::string namespace_name, std::string key,
             size_t token_bytes_max = limits::kPageTokenBytesMax)
      : namespace_(std::move(namespace_name)),
        key_(std::move(key)),
        token_bytes_max_(token_bytes_max) {}

  // What a token is good for: the list's kind, the person who pages, the list's subject.
  using Scope = std::vector<std::string>;

  std::string Make(const Scope& scope, std::string_view payload) const;

  // The payload. REQUIRES: token is not empty.
  absl::StatusOr<std::string> Read(const Scope& scope, std::string_view token) const;

 private:
  std::string Digest(const Scope& scope, std::string_view payload) const;

  const std::string namespace_;
  const std::string key_;
  const size_t token_bytes_max_;
};

}  // namespace klatch
