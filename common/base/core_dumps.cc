#include "common/base/core_dumps.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

namespace klatch::base {
namespace {

// core(5): a bit for each kind of mapping that is written; none of them.
constexpr char kFilter[] = "/proc/self/coredump_filter";
constexpr std::string_view kNothing = "0";

}  // namespace

absl::Status KeepMemoryOutOfCoreDumps() {
  const int file = open(kFilter, O_WRONLY | O_CLOEXEC);
  const bool is_written =
      file >= 0 && write(file, kNothing.data(), kNothing.size()) == std::ssize(kNothing);
  const int error = errno;
  if (file >= 0) {
    close(file);
  }
  return is_written ? absl::OkStatus()
                    : Error(absl::StatusCode::kUnavailable,
                            fmt::format("{}: {}", kFilter, std::strerror(error)));
}

}  // namespace klatch::base
