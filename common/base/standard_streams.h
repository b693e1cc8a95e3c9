#pragma once
// The standard streams of a command: kept in their places, and written to so that a failure shows.
//
// For main, before it starts a thread or opens anything.
//
//   HoldStandardStreams();
//   std::signal(SIGPIPE, SIG_IGN);
//   return PrintResult("klatchd", help) ? 0 : 1;

#include <string_view>

namespace klatch::base {

// Fills the places of standard streams that came in closed, which would be given to the next files
// and sockets: results would be written into them. What fills a place can't be used: reading from
// stdin and writing to stdout or stderr fail with EBADF, as if it were closed.
void HoldStandardStreams();

// Writes all of `text` to `fd`. 0, or the errno of the write that failed.
int WriteAll(int fd, std::string_view text);

// Writes a command's result to stdout. False if it can't be written; stderr then has a line that
// says why and begins with the program's name. A reader that went away (| head) has seen enough:
// that is no failure. REQUIRES: SIGPIPE is ignored.
bool PrintResult(std::string_view program, std::string_view text);

}  // namespace klatch::base
