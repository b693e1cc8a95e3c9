#pragma once
// Where the command's words go: results to stdout, where a failed write must be noticed, and
// everything else to stderr, where there is nobody to tell. Neither throws.
//
// Thread safety: any thread; lines of several threads may interleave.

#include <string_view>

namespace klatch::load {

// True if all of it has been written. A reader that has gone away (| head) has seen enough: that is
// no failure. REQUIRES: SIGPIPE is ignored.
bool WriteResult(std::string_view text);
void Say(std::string_view text);

}  // namespace klatch::load
