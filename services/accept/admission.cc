#include "services/accept/admission.h"

#include <fmt/format.h>

#include <algorithm>

namespace klatch {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kRetryAfterMin{10};
constexpr milliseconds kRetryAfterMax{200};
constexpr milliseconds kRetryAfterTight{50};
// Of the bound on the age of unflushed entries: from here on posts slow down, up to here.
constexpr double kSlowFrom = 0.5;
constexpr double kSlowTo = 0.9;

absl::Status Behind(std::string_view message, milliseconds retry_after) {
  absl::Status status =
      base::RetryLater(absl::StatusCode::kResourceExhausted, message, retry_after);
  return base::WithReason(std::move(status), "OVERLOADED");
}

// As long as we are late: what is over the bound has to be worked off first.
milliseconds RetryAfter(milliseconds age, milliseconds bound) {
  return std::clamp(age - bound, kRetryAfterMin, kRetryAfterMax);
}

}  // namespace

absl::Status Admission::AdmitGroup() const {
  if (pressure_.GroupsFull()) {
    return base::FieldError(absl::StatusCode::kResourceExhausted, "group.id",
                            "can't be taken: this service holds as many groups as it may");
  }
  return Admit();
}

absl::Status Admission::AdmitPersons(std::span<const std::string_view> persons,
                                     std::string_view field) const {
  if (!pressure_.TakesPersons(persons)) {
    return base::FieldError(absl::StatusCode::kResourceExhausted, field,
                            "can't be taken: this service holds as many persons as it may");
  }
  return absl::OkStatus();
}

absl::Status Admission::AdmitMembers(std::span<const std::string_view> persons,
                                     std::string_view field) const {
  KLATCH_RETURN_IF_ERROR(AdmitPersons(persons, field));
  if (const auto person = pressure_.InTooManyGroups(persons)) {
    return base::FieldError(
        absl::StatusCode::kResourceExhausted, field,
        fmt::format("can't be taken: \"{}\" is in as many groups as one may be", *person));
  }
  return absl::OkStatus();
}

double Admission::OpenShare() const {
  const double part = std::chrono::duration<double>(pressure_.OldestUnflushedAge()) /
                      std::chrono::duration<double>(bounds_.unflushed_age_max);
  return std::clamp((kSlowTo - part) / (kSlowTo - kSlowFrom), 0.0, 1.0);
}

absl::Status Admission::Admit() const {
  const auto wait = std::chrono::duration_cast<milliseconds>(appender_.ExpectedWait());
  if (wait > bounds_.queue_time_max) {
    return Behind("too many posts wait for Redis", RetryAfter(wait, bounds_.queue_time_max));
  }
  const auto append_age = std::chrono::duration_cast<milliseconds>(appender_.OldestAge());
  if (append_age > bounds_.queue_time_max) {
    return Behind("the log is behind", RetryAfter(append_age, bounds_.queue_time_max));
  }
  const milliseconds unflushed_age = pressure_.OldestUnflushedAge();
  if (unflushed_age > bounds_.unflushed_age_max) {
    return Behind("timelines are written too slowly",
                  RetryAfter(unflushed_age, bounds_.unflushed_age_max));
  }
  if (pressure_.TimelinesTight()) {
    return Behind("memory for timelines is short", kRetryAfterTight);
  }
  return absl::OkStatus();
}

}  // namespace klatch
