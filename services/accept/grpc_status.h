#pragma once
// The one table from our errors to what a caller sees on the wire.
//
//   absl::Status                      google.rpc.Status in the status's binary details
//   base::FieldError                  BadRequest, one violation with field and description
//   base::RetryLater                  RetryInfo with the delay
//   base::WithReason                  ErrorInfo, domain "klatch"
//
// Codes are the same numbers on both sides. Messages are cut to kErrorMessageBytesMax, because they
// travel in trailing metadata, whose size peers limit.
//
// Thread safety: functions without state.

#include <cstddef>

#include "common/base/status.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/support/status.h"

namespace klatch {

constexpr size_t kErrorMessageBytesMax = 1'000;
constexpr char kErrorDomain[] = "klatch";

// For results inside a response, such as the items of a batch. OK becomes an empty message.
google::rpc::Status ToRpcStatus(const absl::Status& status);

grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace klatch
