#include "common/base/failpoint.h"

#ifdef KLATCH_FAILPOINTS

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>

namespace klatch::base {
namespace {

// Null if there is no such file.
const char* MapFile() {
  const char* path = std::getenv("FAILPOINT_FILE");
  const int file = path == nullptr ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return nullptr;
  }
  void* bytes = mmap(nullptr, kFailpointFileBytes, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  return bytes == MAP_FAILED ? nullptr : static_cast<const char*>(bytes);
}

}  // namespace

void PassFailpoint(std::string_view name) {
  static const char* const armed = MapFile();
  if (armed != nullptr && std::strncmp(armed, name.data(), name.size()) == 0 &&
      armed[name.size()] == '\0') {
    kill(getpid(), SIGKILL);
    pause();
  }
}

}  // namespace klatch::base

#endif
