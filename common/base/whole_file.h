#pragma once
// Files that are read and replaced whole.
//
//   KLATCH_ASSIGN_OR_RETURN(const std::string text, base::ReadWholeFile(path, 64 << 20));
//   KLATCH_RETURN_IF_ERROR(base::ReplaceFile(path, text));
//
// Pure system calls; any thread, but two that replace one file at a time race.
// Errors: one line that begins with the path and says what the system said: NOT_FOUND,
// PERMISSION_DENIED, RESOURCE_EXHAUSTED for a full disk, INTERNAL for the rest.

#include <cstddef>
#include <string>
#include <string_view>

#include "common/base/status.h"

namespace klatch::base {

// INVALID_ARGUMENT if it has more than `bytes_max`; no more than that is read.
absl::StatusOr<std::string> ReadWholeFile(const std::string& path, size_t bytes_max);

// Writes beside it, has that on the disk, and puts it in its place: whoever looks finds the old
// file or the new one, never half of one. What was written is removed after an error, and the old
// file stays. What is no regular file (a pipe, a device) is written into; a link is followed.
absl::Status ReplaceFile(const std::string& path, std::string_view text);

// Whether ReplaceFile may succeed: the same error now rather than after hours of work. Changes
// nothing, and promises nothing of the disk.
absl::Status CheckReplaceable(const std::string& path);

}  // namespace klatch::base
