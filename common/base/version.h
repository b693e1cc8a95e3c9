#pragma once
// The version of everything that is built here, as commands and servers say it.

namespace klatch::base {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace klatch::base
