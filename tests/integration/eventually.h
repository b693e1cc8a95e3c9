#pragma once
// Waiting for what another process does.
//
// Thread safety: pure.

#include <chrono>

namespace klatch::testing {

// The longest that a test waits for another process to do what it must do. Never a pause.
constexpr std::chrono::seconds kProcessWaitMax{60};

bool EventuallyLooking(bool (*look)(void*), void* context, std::chrono::milliseconds limit);

// Looks again and again until `done` says true. False: it did not within `limit`.
template <typename Condition>
bool Eventually(Condition done, std::chrono::milliseconds limit = kProcessWaitMax) {
  return EventuallyLooking([](void* context) { return (*static_cast<Condition*>(context))(); },
                           &done, limit);
}

}  // namespace klatch::testing
