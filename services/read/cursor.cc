#include "services/read/cursor.h"

#include <limits>
#include <utility>

#include "common/base/bytes.h"

namespace klatch {
namespace {

std::string_view NameOf(PageKind kind) {
  switch (kind) {
    case PageKind::kHome:
      return "home";
    case PageKind::kGroup:
      return "group";
    case PageKind::kProfile:
      break;
  }
  return "profile";
}

PageTokens::Scope TokenScope(const PageScope& scope) {
  return {std::string(NameOf(scope.kind)), scope.viewer.value(), scope.subject};
}

}  // namespace

Cursor::Cursor(std::string namespace_name, std::string key)
    : tokens_(std::move(namespace_name), std::move(key)) {}

std::string Cursor::Make(const PageScope& scope, UpdateId below) const {
  std::string payload;
  base::AppendLittleEndian<uint64_t>(payload, below.value());
  return tokens_.Make(TokenScope(scope), payload);
}

absl::StatusOr<UpdateId> Cursor::Read(const PageScope& scope, std::string_view token) const {
  if (token.empty()) {
    return UpdateId(std::numeric_limits<uint64_t>::max());
  }
  KLATCH_ASSIGN_OR_RETURN(const std::string payload, tokens_.Read(TokenScope(scope), token));
  if (payload.size() != sizeof(uint64_t)) {
    return base::FieldError(absl::StatusCode::kInvalidArgument, "page_token",
                            "is not from a page of a timeline");
  }
  return UpdateId(base::LoadLittleEndian<uint64_t>(payload, 0));
}

}  // namespace klatch
