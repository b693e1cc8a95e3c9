#pragma once
// The names that scripts have for a group's refusal of a post to several, and what a caller is told.
//
// Thread safety: functions without state.

#include <optional>
#include <string_view>

#include "common/base/status.h"
#include "services/model/carry.h"

namespace klatch {

// Nothing if the answer is something else.
std::optional<CarryRefusal> CarryRefusalOf(std::string_view answer);

// NOT_FOUND ("update.groups") no such group, or taken out of it; PERMISSION_DENIED ("actor").
// REQUIRES: not kNone.
absl::Status StatusOf(CarryRefusal refusal);

}  // namespace klatch
