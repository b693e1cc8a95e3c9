#include "bench/load/report_commands.h"

#include <algorithm>

#include "bench/load/result/html_report.h"
#include "bench/load/result/result_compare.h"
#include "bench/load/result/result_file.h"
#include "common/base/version.h"
#include "common/base/whole_file.h"

namespace klatch::load {
namespace {

constexpr size_t kFilesMax = 64;
constexpr int64_t kPercentMax = 1'000;

ExitCode FailToRead(const absl::Status& status) {
  return Fail(absl::IsNotFound(status) ? ExitCode::kPrerequisiteMissing : ExitCode::kUsage,
              base::MessageOf(status));
}

absl::StatusOr<std::vector<Result>> ReadResults(const std::vector<std::string>& files) {
  if (files.size() > kFilesMax) {
    return base::Error(absl::StatusCode::kInvalidArgument,
                       fmt::format("{} results; at most {}", files.size(), kFilesMax));
  }
  std::vector<Result> results;
  for (const std::string& file : files) {
    KLATCH_ASSIGN_OR_RETURN(Result result, ReadResultFile(file));
    results.push_back(std::move(result));
  }
  return results;
}

absl::StatusOr<Side> ReadSide(const std::string& list) {
  Side side;
  for (size_t begin = 0; begin <= list.size();) {
    const size_t comma = std::min(list.find(',', begin), list.size());
    side.files.push_back(list.substr(begin, comma - begin));
    begin = comma + 1;
  }
  KLATCH_ASSIGN_OR_RETURN(side.results, ReadResults(side.files));
  return side;
}

// A folder for each result where there are several: their distributions have the same names.
absl::Status WriteHgrm(const std::string& folder, const std::vector<Result>& results) {
  for (size_t i = 0; i < results.size(); ++i) {
    const std::string own = results.size() == 1 ? folder : fmt::format("{}/{}", folder, i + 1);
    KLATCH_RETURN_IF_ERROR(WriteHgrmFiles(own, results[i]));
  }
  return absl::OkStatus();
}

}  // namespace

base::OptionTable MakeReportTable(ReportOptions& options) {
  base::OptionTable table(
      {.name = "klatch-load",
       .version = base::kVersion,
       .usage = "klatch-load report RESULT.json... --out FILE.html [options]",
       .summary =
           "Makes one page of HTML of results, with plots and the numbers beside them, which "
           "needs nothing else to be read."});
  table.Add({.name = "out",
             .group = "Report",
             .description = "The page to write; it is replaced whole",
             .example = "report.html",
             .value = base::Text(&options.out),
             .scope = base::OptionScope::kFlagOnly});
  table.Add({.name = "hgrm",
             .group = "Report",
             .description = "Folder for the latencies' distributions in HdrHistogram's text form, "
                            "a file each; in folders 1, 2 and so on of several results",
             .value = base::Text(&options.hgrm),
             .scope = base::OptionScope::kFlagOnly});
  return table;
}

ExitCode RunReport(const ReportOptions& options, const base::ResolvedOptions& resolved) {
  if (resolved.positionals.empty()) {
    return Fail(ExitCode::kUsage, "name the results: klatch-load report RESULT.json... --out FILE");
  }
  if (options.out.empty() && options.hgrm.empty()) {
    return Fail(ExitCode::kUsage, "say where to: --out FILE.html, --hgrm FOLDER, or both");
  }
  const absl::StatusOr<std::vector<Result>> results = ReadResults(resolved.positionals);
  if (!results.ok()) {
    return FailToRead(results.status());
  }
  absl::Status written;
  if (!options.hgrm.empty()) {
    written = WriteHgrm(options.hgrm, *results);
  }
  if (written.ok() && !options.out.empty()) {
    written = base::ReplaceFile(options.out, HtmlReport(*results));
  }
  return written.ok() ? ExitCode::kGood : Fail(ExitCode::kPromiseMissed, base::MessageOf(written));
}

base::OptionTable MakeCompareTable(CompareOptions& options) {
  base::OptionTable table(
      {.name = "klatch-load",
       .version = base::kVersion,
       .usage = "klatch-load compare A.json[,A2.json...] B.json[,B2.json...] [options]",
       .summary = "Says what differs between two sides of results, A and B, and whether more than "
                  "the noise: give several results of each side, played alternately."});
  table.Add({.name = "json",
             .group = "Comparison",
             .description = "Print one JSON object",
             .value = base::Flag(&options.json),
             .scope = base::OptionScope::kFlagOnly});
  table.Add({.name = "fail-above",
             .group = "Comparison",
             .description = "End with 1 if a measure of B is worse, beyond the noise, by more than "
                            "this many per cent; -1: never",
             .example = "5",
             .value = base::Count(&options.fail_above, -1, kPercentMax)});
  return table;
}

ExitCode RunCompare(const CompareOptions& options, const base::ResolvedOptions& resolved) {
  if (resolved.positionals.size() != 2) {
    return Fail(ExitCode::kUsage,
                "name two sides: klatch-load compare A.json[,A2.json...] B.json[,B2.json...]");
  }
  const absl::StatusOr<Side> a = ReadSide(resolved.positionals[0]);
  if (!a.ok()) {
    return FailToRead(a.status());
  }
  const absl::StatusOr<Side> b = ReadSide(resolved.positionals[1]);
  if (!b.ok()) {
    return FailToRead(b.status());
  }
  const Comparisons comparisons = Compare(*a, *b);
  const ExitCode printed =
      Print(options.json ? CompareJson(comparisons, *a, *b) : CompareText(comparisons, *a, *b));
  const bool worse =
      options.fail_above >= 0 &&
      std::ranges::any_of(comparisons.measures, [&options](const Comparison& comparison) {
        return comparison.PercentWorse() > static_cast<double>(options.fail_above);
      });
  return worse ? ExitCode::kPromiseMissed : printed;
}

}  // namespace klatch::load
