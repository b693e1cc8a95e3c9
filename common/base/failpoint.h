#pragma once
// Named points at which a test can have the process killed, where it matters how far it had come.
//
//   KLATCH_FAILPOINT("checkpoint-written");
//
// Only a build with -DKLATCH_FAILPOINTS=ON has them; in any other they are nothing. There the file that FAILPOINT_FILE names
// holds the name of the point at which the process is killed as by SIGKILL, and zeros; it may change at any time.
// tests/fault/points.py lists the points and how they are reached.
//
// Thread safety: any thread.

#ifdef KLATCH_FAILPOINTS

#include <cstddef>
#include <string_view>

namespace klatch::base {

inline constexpr size_t kFailpointFileBytes = 64;

void PassFailpoint(std::string_view name);

}  // namespace klatch::base

#define KLATCH_FAILPOINT(name) ::klatch::base::PassFailpoint(name)

#else

#define KLATCH_FAILPOINT(name) static_cast<void>(0)

#endif
