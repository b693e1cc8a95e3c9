#include "common/base/whole_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "common/base/standard_streams.h"

namespace klatch::base {
namespace {

constexpr size_t kReadBytes = 1 << 20;

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::StatusCode::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::StatusCode::kResourceExhausted;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::Status Failed(const std::string& path, std::string_view what, int error) {
  return Error(CodeOf(error), fmt::format("{}: {}: {}", path, what, std::strerror(error)));
}

// 0, or the errno of what failed.
int ReadAll(int fd, size_t bytes_max, std::string& text) {
  while (text.size() <= bytes_max) {
    const size_t before = text.size();
    text.resize(std::min(before + kReadBytes, bytes_max + 1));
    const ssize_t got = read(fd, text.data() + before, text.size() - before);
    const int error = got < 0 ? errno : 0;
    text.resize(before + (got > 0 ? static_cast<size_t>(got) : 0));
    if (got == 0 || (error != 0 && error != EINTR)) {
      return error;
    }
  }
  return 0;
}

int WriteAndSync(int fd, std::string_view text) {
  int error = WriteAll(fd, text);
  // Pipes and devices have nothing to bring to a disk.
  if (error == 0 && fsync(fd) != 0 && errno != EINVAL && errno != EROFS) {
    error = errno;
  }
  if (close(fd) != 0 && error == 0) {
    error = errno;
  }
  return error;
}

int WriteTo(const std::string& path, int flags, std::string_view text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC | flags, 0644);
  return fd < 0 ? errno : WriteAndSync(fd, text);
}

// Where a link leads; the path itself if there is nothing yet.
std::string Resolved(const std::string& path) {
  std::error_code unresolved;
  const std::filesystem::path resolved = std::filesystem::canonical(path, unresolved);
  return unresolved ? path : resolved.string();
}

// A renamed file is there after a power loss only if its folder is on the disk, too.
int SyncFolder(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const int fd = open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    return errno;
  }
  const int error = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  return error;
}

}  // namespace

absl::StatusOr<std::string> ReadWholeFile(const std::string& path, size_t bytes_max) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return Failed(path, "can't be read", errno);
  }
  std::string text;
  const int error = ReadAll(fd, bytes_max, text);
  close(fd);
  if (error != 0) {
    return Failed(path, "can't be read", error);
  }
  if (text.size() > bytes_max) {
    return Error(absl::StatusCode::kInvalidArgument,
                 fmt::format("{}: has more than {} bytes", path, bytes_max));
  }
  return text;
}

absl::Status CheckReplaceable(const std::string& path) {
  const std::string target = Resolved(path);
  struct stat status {};
  int error = 0;
  if (stat(target.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    error = S_ISDIR(status.st_mode) ? EISDIR : access(target.c_str(), W_OK) == 0 ? 0 : errno;
  } else {
    const std::string folder = std::filesystem::path(target).parent_path().string();
    // The dot, so that a file in the place of a folder is none.
    const std::string inside = folder.empty() ? "." : folder + "/.";
    error = access(inside.c_str(), W_OK) == 0 ? 0 : errno;
  }
  return error == 0 ? absl::OkStatus() : Failed(path, "can't be written", error);
}

absl::Status ReplaceFile(const std::string& path, std::string_view text) {
  constexpr std::string_view kWhat = "can't be written";
  const std::string target = Resolved(path);
  struct stat status {};
  if (stat(target.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    const int error = WriteTo(target, 0, text);
    return error == 0 ? absl::OkStatus() : Failed(path, kWhat, error);
  }
  const std::string next = target + ".next";
  int error = WriteTo(next, O_CREAT | O_TRUNC, text);
  if (error == 0 && rename(next.c_str(), target.c_str()) != 0) {
    error = errno;
  }
  if (error != 0) {
    unlink(next.c_str());
    return Failed(path, kWhat, error);
  }
  error = SyncFolder(target);
  return error == 0 ? absl::OkStatus() : Failed(path, kWhat, error);
}

}  // namespace klatch::base
