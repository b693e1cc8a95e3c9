#include "services/accept/grpc_status.h"

#include <chrono>
#include <string>

#include "common/base/utf8.h"
#include "google/rpc/error_details.pb.h"

namespace klatch {
namespace {

std::string ShortMessage(const absl::Status& status) {
  const std::string message = base::MessageOf(status);
  return std::string(base::Utf8Prefix(message, kErrorMessageBytesMax));
}

void AddBadRequest(const absl::Status& status, google::rpc::Status& out) {
  const std::optional<base::FieldViolation> violation = base::FieldViolationOf(status);
  if (!violation) {
    return;
  }
  google::rpc::BadRequest detail;
  auto* entry = detail.add_field_violations();
  entry->set_field(violation->field);
  entry->set_description(
      std::string(base::Utf8Prefix(violation->description, kErrorMessageBytesMax)));
  out.add_details()->PackFrom(detail);
}

void AddRetryInfo(const absl::Status& status, google::rpc::Status& out) {
  const std::optional<std::chrono::milliseconds> delay = base::RetryAfterOf(status);
  if (!delay) {
    return;
  }
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*delay);
  google::rpc::RetryInfo detail;
  detail.mutable_retry_delay()->set_seconds(seconds.count());
  detail.mutable_retry_delay()->set_nanos(
      static_cast<int32_t>(std::chrono::nanoseconds(*delay - seconds).count()));
  out.add_details()->PackFrom(detail);
}

void AddErrorInfo(const absl::Status& status, google::rpc::Status& out) {
  const std::optional<std::string> reason = base::ReasonOf(status);
  if (!reason) {
    return;
  }
  google::rpc::ErrorInfo detail;
  detail.set_reason(*reason);
  detail.set_domain(kErrorDomain);
  out.add_details()->PackFrom(detail);
}

}  // namespace

google::rpc::Status ToRpcStatus(const absl::Status& status) {
  google::rpc::Status out;
  if (status.ok()) {
    return out;
  }
  out.set_code(static_cast<int32_t>(status.code()));
  out.set_message(ShortMessage(status));
  AddBadRequest(status, out);
  AddRetryInfo(status, out);
  AddErrorInfo(status, out);
  return out;
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) {
    return grpc::Status::OK;
  }
  const google::rpc::Status details = ToRpcStatus(status);
  // absl took its codes from gRPC: the numbers are the same.
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), details.message(),
                      details.SerializeAsString());
}

}  // namespace klatch
