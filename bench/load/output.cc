#include "bench/load/output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace klatch::load {
namespace {

// 0, or the errno of the failed write.
int WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    ssize_t written = write(fd, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

}  // namespace

bool WriteResult(std::string_view text) {
  int error = WriteAll(STDOUT_FILENO, text);
  if (error == 0 || error == EPIPE) {
    return true;
  }
  Say(fmt::format("klatch-load: can't write the result: {}\n", std::strerror(error)));
  return false;
}

void Say(std::string_view text) { static_cast<void>(WriteAll(STDERR_FILENO, text)); }

}  // namespace klatch::load
