#include "tests/integration/eventually.h"

#include <thread>

namespace klatch::testing {
namespace {

constexpr std::chrono::milliseconds kLookAgain{2};

}  // namespace

bool EventuallyLooking(bool (*look)(void*), void* context, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!look(context)) {
    if (std::chrono::steady_clock::now() >= deadline) {
      return false;
    }
    std::this_thread::sleep_for(kLookAgain);  // Looking again, not synchronising: it is a process.
  }
  return true;
}

}  // namespace klatch::testing
