#pragma once
// Whether this is built with a sanitizer for addresses or threads. They slow all down about twenty times:
// what is offered to a node by the clock, and how much is done at all, has to be less there.

namespace klatch::testing {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr bool kIsSanitized = true;
#else
constexpr bool kIsSanitized = false;
#endif

}  // namespace klatch::testing
