#pragma once
// Runs tasks side by side and continues when the last has ended.
//
//   std::vector<Task<void>> tasks = …;
//   co_await WhenAll(std::move(tasks));
//
// Threads: each task starts here, in order, and continues wherever its waits end; the waiter
// continues on the thread of whichever ends last.

#include <vector>

#include "common/base/task.h"

namespace klatch {

base::Task<void> WhenAll(std::vector<base::Task<void>> tasks);

}  // namespace klatch
