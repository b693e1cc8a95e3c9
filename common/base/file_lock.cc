#include "common/base/file_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace klatch::base {
namespace {

absl::Status SystemError(std::string_view what, const std::string& path, int error) {
  return Error(error == EACCES || error == EPERM || error == EROFS
                   ? absl::StatusCode::kPermissionDenied
                   : absl::StatusCode::kInternal,
               fmt::format("cannot {} {}: {}", what, path, std::generic_category().message(error)));
}

std::string OwnerOf(int fd) {
  char text[32] = {};
  const ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
  const std::string owner(text, static_cast<size_t>(std::max<ssize_t>(n, 0)));
  const std::string digits = owner.substr(0, owner.find_first_not_of("0123456789"));
  return digits.empty() ? "another process" : "process " + digits;
}

}  // namespace

absl::StatusOr<FileLock> FileLock::Acquire(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    return SystemError("open", path, errno);
  }
  FileLock lock(fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) {
      return SystemError("lock", path, errno);
    }
    return Error(absl::StatusCode::kFailedPrecondition,
                 fmt::format("{} is in use by {}",
                             std::filesystem::path(path).parent_path().string(), OwnerOf(fd)));
  }
  const std::string owner = fmt::format("{}\n", getpid());
  if (ftruncate(fd, 0) != 0 ||
      pwrite(fd, owner.data(), owner.size(), 0) != static_cast<ssize_t>(owner.size())) {
    return SystemError("write", path, errno);
  }
  return lock;
}

FileLock::~FileLock() {
  if (fd_ >= 0) {
    close(fd_);
  }
}

}  // namespace klatch::base
