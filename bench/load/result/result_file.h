#pragma once
// A Result as JSON, in a file, and the distributions of its latencies as files of HdrHistogram.
//
//   {"klatch_load_result": 1, "name": "play", …, "summary": {…}, "latencies": [{…, "buckets":
//    [[value, count], …]}, …], "series": [{…, "points": [3.5, null, …]}, …], "costs": [{…}, …]}
//
// The first number is the schema. Whole numbers that a double can't hold are strings of digits; a
// number that is none (NaN, infinite) is null. What is not UTF-8 in a text is replaced.
//
// Pure but for the files; any thread.
// Bounds: those of Result.
// Errors: one line that names the file, and the field at fault.

#include <string>
#include <string_view>

#include "bench/load/result/result.h"
#include "common/base/status.h"

namespace klatch::load {

std::string EncodeResult(const Result& result);
// INVALID_ARGUMENT: no such JSON, cut off, of another schema, with a field that is missing or of a
// wrong kind, or more than the bounds allow.
absl::StatusOr<Result> DecodeResult(std::string_view json);

absl::Status WriteResultFile(const std::string& path, const Result& result);
absl::StatusOr<Result> ReadResultFile(const std::string& path);

absl::Status MakeHgrmFolder(const std::string& folder);
// One file for each distribution, in microseconds: FOLDER/publish.hgrm and so on. The folder is
// made if need be.
absl::Status WriteHgrmFiles(const std::string& folder, const Result& result);

}  // namespace klatch::load
