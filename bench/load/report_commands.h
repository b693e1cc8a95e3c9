#pragma once
// `klatch-load report` and `klatch-load compare`: what is made of files of results.
//
// Exit codes: 2 for a file that is no result, 3 for one that is not there, 1 for an output that
// can't be written.

#include <cstdint>
#include <string>

#include "bench/load/commands.h"

namespace klatch::load {

struct ReportOptions {
  std::string out;
  std::string hgrm;
};
base::OptionTable MakeReportTable(ReportOptions& options);
// The positionals are the files.
ExitCode RunReport(const ReportOptions& options, const base::ResolvedOptions& resolved);

struct CompareOptions {
  bool json = false;
  int64_t fail_above = -1;  // per cent; negative: never
};
base::OptionTable MakeCompareTable(CompareOptions& options);
// The positionals are two lists of files, with commas between the files of a side.
ExitCode RunCompare(const CompareOptions& options, const base::ResolvedOptions& resolved);

}  // namespace klatch::load
