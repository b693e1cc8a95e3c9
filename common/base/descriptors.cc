#include "common/base/descriptors.h"

#include <sys/resource.h>

#include <algorithm>
#include <limits>

namespace klatch::base {
namespace {

// More than any node needs. Programs that we start may look at each that there could be.
constexpr rlim_t kEnough = 1 << 20;

}  // namespace

size_t RaiseDescriptorsMax() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return std::numeric_limits<size_t>::max();
  }
  const rlimit raised{std::max(limit.rlim_cur, std::min(limit.rlim_max, kEnough)), limit.rlim_max};
  if (raised.rlim_cur != limit.rlim_cur && setrlimit(RLIMIT_NOFILE, &raised) == 0) {
    limit = raised;
  }
  // RLIM_INFINITY is the largest number there is.
  return static_cast<size_t>(limit.rlim_cur);
}

}  // namespace klatch::base
