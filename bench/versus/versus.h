#pragma once
// `klatch-load versus`: Klatch and its peers measured in the same run.
//
//   keys that are wanted ─▶ families, one after the other, each with processes of its own ─▶ figures
//
// Use: RunVersus once, on the main thread, before it starts any other.

#include <atomic>

#include "bench/load/exit_code.h"
#include "bench/versus/options.h"

namespace klatch::versus {

// Prints the result on stdout, progress on stderr. The exit code is that of DESIGN "Contracts": 1 if a
// load's checks found faults or a figure could not be taken, 3 if a program is missing that a wanted
// key needs.
load::ExitCode RunVersus(const VersusOptions& options, const std::atomic<bool>& interrupted);

}  // namespace klatch::versus
