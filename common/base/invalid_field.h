#pragma once
// The error that most checks of requests end with.
//
// Thread safety: pure.

#include <string_view>

#include "common/base/status.h"

namespace klatch::base {

// INVALID_ARGUMENT that names the field.
inline absl::Status InvalidField(std::string_view field, std::string_view description) {
  return FieldError(absl::StatusCode::kInvalidArgument, field, description);
}

}  // namespace klatch::base
