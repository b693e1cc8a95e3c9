#pragma once
// What the parts of PersonCalls share.

#include <utility>

#include "services/accept/validate.h"
#include "services/personal/person_calls.h"

namespace klatch {

template <typename Request>
absl::Status PersonCalls::CheckCaller(const Request& request) const {
  KLATCH_RETURN_IF_ERROR(CheckNamespace(request.namespace_(), d_.layout));
  KLATCH_RETURN_IF_ERROR(CheckId(request.actor(), "actor"));
  return absl::OkStatus();
}

// A call that ends with what its checks found.
template <typename Response>
base::Task<absl::StatusOr<Response>> Refused(absl::Status status) {
  co_return status;
}

}  // namespace klatch
