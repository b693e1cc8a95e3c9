#pragma once
// A report for people of one or several Results: one page of HTML that asks for nothing else, can
// be read without its few lines of script, on a phone, in the dark and on paper.
//
// All text from a Result is escaped: a group's id or a fault's example can't become a tag.
//
// Pure; any thread.

#include <string>
#include <vector>

#include "bench/load/result/result.h"

namespace klatch::load {

// REQUIRES: at least one result.
std::string HtmlReport(const std::vector<Result>& results);

}  // namespace klatch::load
