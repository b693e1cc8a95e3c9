#pragma once
// What the kernel writes when a process is ended by an error.
//
// Thread safety: any thread; of the whole process, and of those that it starts from then on.

#include "common/base/status.h"

namespace klatch::base {

// Core dumps keep the registers and where everything was, and nothing of what was there: memory holds what people have
// posted, and keys. It works for dumps that go to a program, too, which no limit on their size holds back. UNAVAILABLE:
// the kernel does not let itself be told so (/proc is not mounted, or read-only).
absl::Status KeepMemoryOutOfCoreDumps();

}  // namespace klatch::base
