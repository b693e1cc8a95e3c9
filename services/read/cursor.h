#pragma once
// Page tokens of timelines: the id below which the next page goes on. Opaque to callers, good only
// for the one timeline and the one viewer that they were made for, whichever node they come back
// to.
//
// Thread safety: const after construction.
// Errors: INVALID_ARGUMENT, field "page_token", for anything that Make did not return for the same
// scope.

#include <string>
#include <string_view>

#include "common/base/status.h"
#include "services/model/ids.h"
#include "services/model/page_tokens.h"
#include "services/model/position.h"

namespace klatch {

enum class PageKind : uint8_t { kHome = 1, kGroup = 2, kProfile = 3 };

// What a token is good for.
struct PageScope {
  PageKind kind = PageKind::kHome;
  PersonId viewer;
  // The group's or the person's id; empty for home.
  std::string subject;
};

class Cursor {
 public:
  Cursor(std::string namespace_name, std::string key);

  // A token for the page of ids less than `below`.
  std::string Make(const PageScope& scope, UpdateId below) const;

  // The id that `token` goes on below; the highest possible one for an empty token. An id that lies
  // in the future is fine.
  absl::StatusOr<UpdateId> Read(const PageScope& scope, std::string_view token) const;

 private:
  const PageTokens tokens_;
};

}  // namespace klatch
