#pragma once
// The manual page of klatch, made from the same tables as --help.
//
// Pure; any thread.

#include <string>

#include "services/klatch/describe.h"

namespace klatch::cli {

// klatch(1): every command with its options and examples, in roff.
std::string Manual(const CommandDoc& program, const std::string& version);

}  // namespace klatch::cli
