#pragma once
// `klatch admin archive`: follows the logs of all shards into files (archive_files.h), before they are
// trimmed.
//
// Blocks until everything that was in the logs at its beginning is archived or, if it follows, until it
// is interrupted: it then goes on through restarts of the server. What it has archived stays, and
// another run goes on from there.

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "services/klatch/session.h"

namespace klatch::cli {

struct ArchiveOptions {
  std::string folder;
  bool follow = false;
  // A file that is as large is followed by another.
  uint32_t file_mib = 64;
};

struct ArchiveEnd {
  // Why it ended before it was to; OK if it did not.
  absl::Status status;
  bool interrupted = false;
  uint64_t records = 0;
  // How often records were trimmed before they were read.
  uint64_t gaps = 0;
};

// `say` gets a line for people when the server can't be reached, and when it can again.
ArchiveEnd Archive(const Session& session, const ArchiveOptions& options,
                   const std::atomic<bool>& interrupted,
                   const std::function<void(std::string_view)>& say);

std::string PrintArchive(const Session& session, const ArchiveEnd& end, const std::string& folder);

}  // namespace klatch::cli
