#pragma once
// An exclusive lock on a file, which says who holds a directory. It belongs to this object and ends
// with it or with the process, however that dies; children that the process starts don't inherit
// it.
//
//   KLATCH_ASSIGN_OR_RETURN(base::FileLock lock, base::FileLock::Acquire(data_dir + "/lock"));
//
// The file holds the owner's process id for people and messages. It stays there when the lock ends:
// removing it would let two processes lock two files of one name.
// Thread safety: one thread at a time. It holds only on one machine, not over a network file
// system.

#include <string>
#include <utility>

#include "common/base/status.h"

namespace klatch::base {

class FileLock {
 public:
  // Creates the file if need be. FAILED_PRECONDITION "… is in use by process N" if it is locked, by
  // another process or by this one; INTERNAL or PERMISSION_DENIED if it can't be opened. Never
  // waits.
  static absl::StatusOr<FileLock> Acquire(const std::string& path);

  FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileLock& operator=(FileLock&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}

  int fd_;
};

}  // namespace klatch::base
