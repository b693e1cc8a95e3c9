#pragma once
// Completions of `klatch` for shells, made from what its parser knows (describe.h): commands, options,
// the values of options that have a fixed set, and files and folders where they are wanted.
//
// Pure; any thread.

#include <string>
#include <vector>

#include "services/klatch/describe.h"

namespace klatch::cli {

// "bash", "zsh", "fish".
const std::vector<std::string>& Shells();

// The script to be sourced, or put where the shell looks for it. REQUIRES: `shell` is one of Shells().
std::string Completion(const CommandDoc& program, const std::string& shell);

}  // namespace klatch::cli
