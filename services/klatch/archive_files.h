#pragma once
// Shards' logs in files of a folder: what `klatch admin archive` writes, and where it goes on.
//
//   DIR/archive.json                    the checkpoint: per shard a position, a file and its length
//   DIR/<namespace>-<shard>-<first position>.jsonl
//                                       a record a line: klatch.v1.LogEntry as JSON, or a gap:
//                                       {"gap":{"shard":3,"after":"…","oldest":"…"}}
//   DIR/lock                            held by who writes
//
// A file is of one hour of its records' time, and of about so many bytes. What is appended is on the
// disk before the checkpoint says so, and that is replaced whole: whoever goes on cuts files back to
// the checkpoint, so that a record is there once, whatever ended the writer.
//
// Thread safety: one thread.
// Bound: one page of records in memory.
// Errors: FAILED_PRECONDITION for a folder in use, of another namespace, or not as a writer leaves it;
// INTERNAL naming the file and what the system said.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/file_lock.h"
#include "klatch/v1/admin_service.pb.h"
#include "services/model/position.h"

namespace klatch::cli {

class ArchiveFiles {
 public:
  // Creates the folder if need be. Begins anew, or goes on where the checkpoint is.
  static absl::StatusOr<ArchiveFiles> Open(const std::string& folder,
                                           const std::string& namespace_name, uint32_t shards,
                                           uint64_t file_bytes_max);

  // Behind which position the shard's archive goes on.
  Position After(uint32_t shard) const;

  // Writes a page and has it on the disk; a gap before it, if the page says that there is one.
  absl::Status Append(uint32_t shard, const v1::ReadLogResponse& page);
  // From here on is gone on.
  absl::Status Commit();

 private:
  struct Log {
    uint64_t after = 0;
    std::string file;  // the last one; empty: none yet
    uint64_t bytes = 0;
  };

  ArchiveFiles(std::string folder, base::FileLock lock, std::string namespace_name, uint32_t shards,
               uint64_t file_bytes_max)
      : folder_(std::move(folder)),
        lock_(std::move(lock)),
        namespace_(std::move(namespace_name)),
        shards_(shards),
        file_bytes_max_(file_bytes_max) {}

  absl::Status Load(std::string_view checkpoint);
  absl::Status CutBack();
  std::string NameOf(uint32_t shard, uint64_t first) const;
  // Whether a file's name is one of ours, and of which shard and position.
  bool ReadName(std::string_view name, uint32_t& shard, uint64_t& first) const;
  // Whether what stands at `position` belongs into another file than the log's last.
  bool BeginsFile(const Log& log, uint64_t position) const;
  absl::Status Write(Log& log, std::string_view lines) const;
  std::string PathOf(std::string_view name) const { return folder_ + "/" + std::string(name); }

  std::string folder_;
  base::FileLock lock_;
  std::string namespace_;
  uint32_t shards_;
  uint64_t file_bytes_max_;
  std::map<uint32_t, Log> logs_;  // by shard; those with anything
};

}  // namespace klatch::cli
