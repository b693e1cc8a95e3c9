#pragma once
// Manual pages in roff (man(7)).
//
// Pure; any thread.

#include <string>

namespace klatch::base {

// Text as roff prints it: backslashes and hyphens as they are, no line taken for a request.
std::string Roff(const std::string& text);

// How a page begins: its title, and the program's name with what it is.
std::string ManualHeader(const std::string& name, int section, const std::string& version,
                         const std::string& summary);

// A page about a program of which there is a help text alone, that of an OptionTable: its headings
// and options set as such.
std::string ManualOfHelp(const std::string& name, int section, const std::string& version,
                         const std::string& help);

}  // namespace klatch::base
