#include "services/identity/caller_rates.h"

#include <algorithm>

#include "absl/hash/hash.h"

namespace klatch {

CallerRates::CallerRates(Bounds bounds, const base::Clock& clock)
    : bounds_(bounds), clock_(clock), sets_(bounds.per_second == 0 ? 0 : kSets) {}

CallerRates::CallerRates(const base::Clock& clock) : clock_(clock), sets_(kSets) {}

absl::Status CallerRates::Take(std::string_view caller, uint32_t count) {
  return bounds_.per_second == 0 ? absl::OkStatus()
                                 : Take(caller, count, bounds_, "the actor posts too often");
}

absl::Status CallerRates::Take(std::string_view caller, uint32_t count, Bounds bounds,
                               std::string_view refusal) {
  // Seeded by the process, so that nobody can pick whose bucket they share.
  const uint64_t hash = absl::HashOf(caller);
  const std::chrono::nanoseconds now = clock_.Monotonic().time_since_epoch();
  const auto filled_in = [&](uint32_t tokens) {
    return std::chrono::nanoseconds(std::chrono::seconds(tokens)) / bounds.per_second;
  };
  std::chrono::nanoseconds wait{0};
  {
    const size_t at = hash % kSets;
    std::lock_guard lock(locks_[at % kLocks]);
    Set& set = sets_[at];
    auto bucket = std::ranges::find(set, hash, &Bucket::caller);
    if (bucket == set.end()) {
      bucket = std::ranges::min_element(set, {}, &Bucket::full_at);
      *bucket = {.caller = hash, .full_at = now};
    }
    const std::chrono::nanoseconds full_at = std::max(bucket->full_at, now) + filled_in(count);
    wait = full_at - now - filled_in(bounds.burst);
    if (wait.count() <= 0) {
      bucket->full_at = full_at;
      return absl::OkStatus();
    }
  }
  refused_.fetch_add(1, std::memory_order_relaxed);
  return base::WithReason(base::RetryLater(absl::StatusCode::kResourceExhausted, refusal,
                                           std::chrono::ceil<std::chrono::milliseconds>(wait)),
                          "RATE_LIMITED");
}

}  // namespace klatch
