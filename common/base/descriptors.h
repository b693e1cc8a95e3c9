#pragma once
// How many files and connections this process may have open.
//
// Thread safety: any thread; of the whole process, and of those that it starts from then on.

#include <cstddef>

namespace klatch::base {

// Raises the limit to what the process may give itself, a million at most, and returns the one in
// force.
size_t RaiseDescriptorsMax();

}  // namespace klatch::base
