#include "services/log/carry_refusal.h"

#include <array>

#include "services/log/outcome.h"

namespace klatch {
namespace {

// By number, as in scripts/posting.lua.
constexpr std::array<std::string_view, 6> kNames = {
    "", "NO_GROUP", "NOT_MEMBER", "ROLE_TOO_LOW", "REMOVED", "CLOSED"};

}  // namespace

std::optional<CarryRefusal> CarryRefusalOf(std::string_view answer) {
  for (size_t i = 1; i < kNames.size(); ++i) {
    if (kNames[i] == answer) {
      return static_cast<CarryRefusal>(i);
    }
  }
  return std::nullopt;
}

absl::Status StatusOf(CarryRefusal refusal) {
  return RefusalStatus(kNames[static_cast<size_t>(refusal)],
                       RequestFields{.group = "update.groups"});
}

}  // namespace klatch
