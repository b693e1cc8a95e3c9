#pragma once
// Goes over items whose memory is scattered, so that the processor waits little for it.
//
//   FetchAhead(items, [&](const T& item) __attribute__((always_inline)) { __builtin_prefetch(…); }, …, use);
//
// A processor begins a fetch early only if it comes to it early, and between two uses of some 100 instructions it
// comes to two or three. So blocks of items go through three short loops, each a block ahead of the next: `first`
// fetches what an item names, `second` what is found there, `use` does what is to be done, in the order of the items.
// The two that fetch change nothing, so they must be inlined by order: GCC drops calls of such functions.
//
// Thread safety: the functions'.

#include <algorithm>
#include <cstddef>
#include <span>

namespace klatch::base {

// On two machines 24 to 64 did equally well for deliveries, 8 and 16 worse (docs/PERFORMANCE.md).
inline constexpr size_t kFetchedAtOnce = 32;

template <typename T, typename First, typename Second, typename Use>
[[gnu::always_inline]] inline void FetchAhead(std::span<const T> items, const First& first,
                                              const Second& second, const Use& use) {
  const auto block = [items](size_t from) __attribute__((always_inline)) {
    const size_t begin = std::min(from, items.size());
    return items.subspan(begin, std::min(kFetchedAtOnce, items.size() - begin));
  };
  const auto each = [&block](size_t from, const auto& function) __attribute__((always_inline)) {
    for (const T& item : block(from)) {
      function(item);
    }
  };
  each(0, first);
  each(kFetchedAtOnce, first);
  each(0, second);
  for (size_t from = 0; from < items.size(); from += kFetchedAtOnce) {
    each(from + 2 * kFetchedAtOnce, first);
    each(from + kFetchedAtOnce, second);
    each(from, use);
  }
}

}  // namespace klatch::base
