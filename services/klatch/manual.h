#pragma once
// Manual pages in roff (man(7)), made from the same tables as --help.
//
// Pure; any thread.

#include <string>

#include "services/klatch/describe.h"

namespace klatch::cli {

// klatch(1): every command with its options and examples.
std::string Manual(const CommandDoc& program, const std::string& version);

// A page about a program of which there is a help text alone (base/options.h), such as klatchd(8):
// the text of --help, with its headings and options set as such.
std::string ManualOfHelp(const std::string& name, int section, const std::string& version,
                         const std::string& help);

}  // namespace klatch::cli
