#pragma once
// TOML text by toml++, with what that one takes for granted looked at before. It compiles slowly: for
// the few files that read settings.
//
// Pure; any thread.

#include <string_view>

#include "common/base/status.h"

#define TOML_EXCEPTIONS 0
// It asserts of some texts that are no TOML what is not so, and without that goes on to say what is wrong.
#define TOML_ASSERT(expression) static_assert(true)
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

namespace klatch::base {

// INVALID_ARGUMENT "<path>:<line>: <what>". REQUIRES: `text` is UTF-8.
absl::StatusOr<toml::table> ParseToml(std::string_view path, std::string_view text);

// How the type of a value reads in a message: "a string".
std::string_view TomlTypeWords(const toml::node& node);

}  // namespace klatch::base
