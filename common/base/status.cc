#include "common/base/status.h"

#include <charconv>

#include "absl/strings/cord.h"

namespace klatch::base {
namespace {

constexpr char kFieldUrl[] = "klatch/field";
constexpr char kDescriptionUrl[] = "klatch/description";
constexpr char kRetryUrl[] = "klatch/retry_after_ms";
constexpr char kReasonUrl[] = "klatch/reason";

absl::string_view View(std::string_view s) { return {s.data(), s.size()}; }

std::optional<std::string> Payload(const absl::Status& status, const char* url) {
  auto payload = status.GetPayload(url);
  if (!payload) {
    return std::nullopt;
  }
  return std::string(*payload);
}

}  // namespace

absl::Status Error(absl::StatusCode code, std::string_view message) {
  return absl::Status(code, View(message));
}

absl::Status FieldError(absl::StatusCode code, std::string_view field,
                        std::string_view description) {
  std::string message;
  message.append(field).append(" ").append(description);
  absl::Status status = Error(code, message);
  status.SetPayload(kFieldUrl, absl::Cord(View(field)));
  status.SetPayload(kDescriptionUrl, absl::Cord(View(description)));
  return status;
}

absl::Status RetryLater(absl::StatusCode code, std::string_view message,
                        std::chrono::milliseconds retry_after) {
  absl::Status status = Error(code, message);
  status.SetPayload(kRetryUrl, absl::Cord(std::to_string(retry_after.count())));
  return status;
}

absl::Status WithReason(absl::Status status, std::string_view reason) {
  status.SetPayload(kReasonUrl, absl::Cord(View(reason)));
  return status;
}

absl::Status Annotate(const absl::Status& status, std::string_view context) {
  if (status.ok()) {
    return status;
  }
  std::string message;
  message.append(context).append(": ").append(MessageOf(status));
  absl::Status annotated = Error(status.code(), message);
  status.ForEachPayload([&annotated](absl::string_view url, const absl::Cord& payload) {
    annotated.SetPayload(url, payload);
  });
  return annotated;
}

std::optional<FieldViolation> FieldViolationOf(const absl::Status& status) {
  auto field = Payload(status, kFieldUrl);
  if (!field) {
    return std::nullopt;
  }
  return FieldViolation{*field, Payload(status, kDescriptionUrl).value_or("")};
}

std::optional<std::chrono::milliseconds> RetryAfterOf(const absl::Status& status) {
  auto text = Payload(status, kRetryUrl);
  if (!text) {
    return std::nullopt;
  }
  int64_t milliseconds = 0;
  std::from_chars(text->data(), text->data() + text->size(), milliseconds);
  return std::chrono::milliseconds(milliseconds);
}

std::optional<std::string> ReasonOf(const absl::Status& status) {
  return Payload(status, kReasonUrl);
}

}  // namespace klatch::base
