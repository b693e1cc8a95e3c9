#include "services/edge/http_status.h"

#include <algorithm>

#include "google/rpc/error_details.pb.h"

namespace klatch {

unsigned HttpCodeOf(int32_t code) {
  switch (static_cast<absl::StatusCode>(code)) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

google::rpc::Status ErrorOf(const grpc::Status& status) {
  google::rpc::Status error;
  const bool has_details = !status.error_details().empty() &&
                           error.ParseFromString(status.error_details()) &&
                           error.code() == static_cast<int32_t>(status.error_code());
  if (!has_details) {
    error.Clear();
    error.set_code(static_cast<int32_t>(status.error_code()));
    error.set_message(status.error_message());
  }
  return error;
}

std::optional<int64_t> RetryAfterSeconds(const google::rpc::Status& error) {
  for (const auto& detail : error.details()) {
    google::rpc::RetryInfo info;
    if (detail.UnpackTo(&info)) {
      const auto& delay = info.retry_delay();
      return std::max<int64_t>(1, delay.seconds() + (delay.nanos() > 0 ? 1 : 0));
    }
  }
  return std::nullopt;
}

}  // namespace klatch
