#pragma once
// Errors as absl::Status, with what a caller needs to act on them: the field at fault, when to
// retry, and a machine-readable reason, carried as payloads.
//
// This header is also the border between std::string_view, which we use everywhere, and the
// absl::string_view of the distribution's Abseil, which does not convert from it.
//
//   if (request.actor().empty()) return base::FieldError(kInvalidArgument, "actor", "is empty");
//   KLATCH_ASSIGN_OR_RETURN(auto reply, connection.Call(command));

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace klatch::base {

absl::Status Error(absl::StatusCode code, std::string_view message);

// An error of one field of a request. `field` is a path such as "update.text" or
// "members[3].person". The status's message reads "<field> <description>".
absl::Status FieldError(absl::StatusCode code, std::string_view field,
                        std::string_view description);

// RESOURCE_EXHAUSTED or UNAVAILABLE with the time after which a retry may succeed.
absl::Status RetryLater(absl::StatusCode code, std::string_view message,
                        std::chrono::milliseconds retry_after);

// Adds a reason such as "OUTCOME_UNKNOWN" to an error.
absl::Status WithReason(absl::Status status, std::string_view reason);

// The same error with "context: " before its message, payloads kept. OK stays OK.
absl::Status Annotate(const absl::Status& status, std::string_view context);

struct FieldViolation {
  std::string field;
  std::string description;
};
std::optional<FieldViolation> FieldViolationOf(const absl::Status& status);
std::optional<std::chrono::milliseconds> RetryAfterOf(const absl::Status& status);
std::optional<std::string> ReasonOf(const absl::Status& status);

inline std::string MessageOf(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

}  // namespace klatch::base

#define KLATCH_RETURN_IF_ERROR(expression)      \
  do {                                          \
    absl::Status klatch_status_ = (expression); \
    if (!klatch_status_.ok()) {                 \
      return klatch_status_;                    \
    }                                           \
  } while (false)

#define KLATCH_CONCAT_INNER_(a, b) a##b
#define KLATCH_CONCAT_(a, b) KLATCH_CONCAT_INNER_(a, b)
#define KLATCH_ASSIGN_OR_RETURN(lhs, expression) \
  KLATCH_ASSIGN_OR_RETURN_IMPL_(KLATCH_CONCAT_(klatch_result_, __LINE__), lhs, expression)
#define KLATCH_ASSIGN_OR_RETURN_IMPL_(result, lhs, expression) \
  auto result = (expression);                                  \
  if (!result.ok()) {                                          \
    return std::move(result).status();                         \
  }                                                            \
  lhs = std::move(result).value()
