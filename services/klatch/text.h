#pragma once
// Text for people: cleaned, measured, wrapped, and times as one says them. Pure functions; any
// thread.
//
// Updates are written by strangers and shown on terminals, so whatever could steer a terminal
// (control characters, escape sequences, direction overrides) is replaced before it is shown.
// Widths are columns of a terminal: 2 for East Asian wide characters and emoji, 0 for combining
// marks. Sequences that terminals join into one glyph are measured by their parts.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace klatch::cli {

// Columns that `text` takes on a terminal. Malformed UTF-8 counts one per byte.
int DisplayWidth(std::string_view text);

// `text` with each control character, direction override and malformed byte as U+FFFD. Line feeds
// stay, tabs become a space, carriage returns before line feeds go.
std::string Clean(std::string_view text);

// The same on one line: line feeds become spaces too.
std::string CleanLine(std::string_view text);

// Lines of at most `width` columns, broken at spaces where there are any, and at line feeds always.
// At least one line, which may be empty. REQUIRES: width >= 2.
std::vector<std::string> Wrap(std::string_view text, int width);

// The first columns of `text`, with "…" at the end if it does not fit. REQUIRES: width >= 1.
std::string Shorten(std::string_view text, int width);

// "just now", "3 min ago", "2 h ago", "5 days ago", and a date (UTC) beyond a month. A time in the
// future by less than a minute (clocks differ) is "just now".
std::string RelativeTime(std::chrono::system_clock::time_point then,
                         std::chrono::system_clock::time_point now);

// 1234567 as "1,234,567".
std::string WithThousands(uint64_t number);

// "1 member", "1,200 members".
std::string Counted(uint64_t number, std::string_view one, std::string_view several);

// The candidate most like `word`, or nothing if none is alike (more than a third of it differs).
std::string Nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace klatch::cli
