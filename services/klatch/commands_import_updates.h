#pragma once
// `klatch import updates`: brings an app's past in, a line of JSON for each update.
//
// Lines are read as they are sent, so that a file of any size takes the memory of one call. A line
// that is no update ends the import; what stood before it is imported. Blocks until the end of the
// lines, an interruption, or an error of a whole call.

#include <atomic>
#include <cstdint>
#include <functional>
#include <istream>
#include <string>
#include <string_view>
#include <vector>

#include "services/klatch/session.h"

namespace klatch::cli {

struct ImportUpdatesSummary {
  uint64_t imported = 0;
  uint64_t were_there = 0;
  uint64_t failed = 0;
  // The first ten failures, "line 7: error".
  std::vector<std::string> failures;
  // Why it ended before the last line; what is left was not tried.
  bool bad_line = false;
  bool interrupted = false;
  bool unreachable = false;
  bool broke_off = false;
};

// Safe to repeat. `print` gets, with Format::kJson, a line for each update as it is known; false ends
// the import. Stops between calls once `interrupted` is true.
ImportUpdatesSummary ImportUpdates(const Session& session, std::istream& lines,
                                   const std::atomic<bool>& interrupted,
                                   const std::function<bool(std::string_view)>& print);

std::string PrintImportUpdates(const Session& session, const ImportUpdatesSummary& summary);

}  // namespace klatch::cli
