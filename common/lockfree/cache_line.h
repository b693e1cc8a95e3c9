#pragma once
// The size of what two cores pass between each other. std::hardware_destructive_interference_size
// is not used because its value depends on the compiler's flags, and g++ warns that it does.

#include <cstddef>

namespace klatch::lockfree {

inline constexpr size_t kCacheLineBytes = 64;

}  // namespace klatch::lockfree
