#pragma once
// Scripts get those definitions of a library that they use: Redis runs a script from its first line
// each time, and makes every function anew that stands there (docs/PERFORMANCE.md).
//
// Thread safety: pure; any thread.

#include <string>
#include <string_view>

namespace klatch {

// What `script` uses of `library`, directly or not, in the library's order, and the script behind it.
// A definition begins with a line that begins with "local " and ends before the next such line; it is used if
// one of its names stands anywhere behind it, in a comment at the end of a line too. Lines that are
// comments are left out.
std::string WithLibrary(std::string_view library, std::string_view script);

}  // namespace klatch
