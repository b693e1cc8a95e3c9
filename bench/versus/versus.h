#pragma once
// `klatch-load versus`: Klatch and its peers measured in the same run.
//
//   keys that are wanted ─▶ families, one after the other, each with processes of its own ─▶ figures
//
// Use: RunVersus once, on the main thread, before it starts any other.

#include <atomic>
#include <string>
#include <vector>

namespace klatch::versus {

// `arguments` are those behind "versus". Prints the result on stdout, progress on stderr. Returns the
// exit code of DESIGN "Contracts": 1 if a load's checks found faults or a figure could not be taken, 3
// if a program is missing that a wanted key needs.
int RunVersus(const std::vector<std::string>& arguments, const std::atomic<bool>& interrupted);

}  // namespace klatch::versus
