#pragma once
// The one table from codes of calls to codes of HTTP, and what an error of a call becomes on the
// way.
//
// Thread safety: functions without state.

#include <array>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/support/status.h"

namespace klatch {

// All that the edge answers with; metrics count each.
constexpr std::array<unsigned, 18> kHttpCodes = {200, 400, 401, 403, 404, 405, 408, 409, 413,
                                                 415, 429, 431, 499, 500, 501, 503, 504, 505};

// 200, 400, 401, 403, 404, 409, 429, 499, 500, 501, 503 or 504. A code that is none is 500.
unsigned HttpCodeOf(int32_t code);

// What the call's own details say; without them its code and message.
google::rpc::Status ErrorOf(const grpc::Status& status);

// Whole seconds of RetryInfo, rounded up, at least 1; nothing if the error has none.
std::optional<int64_t> RetryAfterSeconds(const google::rpc::Status& error);

}  // namespace klatch
