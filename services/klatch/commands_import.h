#pragma once
// `klatch import`: creates the groups of files with their members, several groups at a time.

#include <atomic>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "services/klatch/import_file.h"
#include "services/klatch/session.h"

namespace klatch::cli {

struct ImportOptions {
  // Groups under way at once; 1 to 64.
  int parallel = 8;
  // Told how many groups are done, now and then, from several threads one at a time. May be empty.
  std::function<void(size_t done, size_t all)> progress;
};

struct ImportSummary {
  uint64_t groups = 0;
  uint64_t created = 0;
  uint64_t existed = 0;
  uint64_t added = 0;
  uint64_t unchanged = 0;
  uint64_t failed = 0;
  // Not tried any more, because of an interruption or a lost server.
  uint64_t left = 0;
  // The first ten failures, "group: error".
  std::vector<std::string> failures;
  // The server went away.
  bool unreachable = false;
};

// Safe to repeat: a group that exists is taken as it is, members that are there stay. Each group is
// created and filled by its owner, whatever the session's actor is. Stops between calls once
// `interrupted` is true.
ImportSummary Import(const Session& session, const ImportGroups& groups,
                     const ImportOptions& options, const std::atomic<bool>& interrupted);

std::string PrintImport(const Session& session, const ImportSummary& summary);

}  // namespace klatch::cli
