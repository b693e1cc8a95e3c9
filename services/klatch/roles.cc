#include "services/klatch/roles.h"

namespace klatch::cli {

std::string RoleName(v1::Role role) {
  switch (role) {
    case v1::ROLE_READER:
      return "reader";
    case v1::ROLE_MEMBER:
      return "member";
    case v1::ROLE_MODERATOR:
      return "moderator";
    case v1::ROLE_OWNER:
      return "owner";
    default:
      return std::to_string(role);
  }
}

v1::Role RoleOf(std::string_view name) {
  for (const v1::Role role :
       {v1::ROLE_READER, v1::ROLE_MEMBER, v1::ROLE_MODERATOR, v1::ROLE_OWNER}) {
    if (name == RoleName(role)) {
      return role;
    }
  }
  return v1::ROLE_UNSPECIFIED;
}

}  // namespace klatch::cli
