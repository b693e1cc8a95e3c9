#pragma once
// The names of roles, as people write and read them.
//
// Thread safety: functions without state.

#include <string>
#include <string_view>

#include "klatch/v1/resources.pb.h"

namespace klatch::cli {

// "owner" for ROLE_OWNER, and so on; the number where this version does not know the value.
std::string RoleName(v1::Role role);

// ROLE_UNSPECIFIED for an unknown name.
v1::Role RoleOf(std::string_view name);

}  // namespace klatch::cli
