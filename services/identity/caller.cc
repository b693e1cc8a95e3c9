#include "services/identity/caller.h"

#include <fmt/format.h>

#include <algorithm>

namespace klatch {

bool Caller::MayUse(const std::string& space) const {
  return identity_ == nullptr ||
         std::ranges::find(identity_->namespaces, space) != identity_->namespaces.end();
}

absl::Status Caller::CheckActor(std::string_view field, std::string_view actor) const {
  if (acts_for_anybody() || (!subject_.empty() && actor == subject_)) {
    return absl::OkStatus();
  }
  return base::WithReason(
      base::FieldError(absl::StatusCode::kPermissionDenied, field,
                       fmt::format("is not \"{}\", whose token this is", subject_)),
      "ACTOR_NOT_ALLOWED");
}

absl::Status CheckActors(const Caller& caller, const v1::BatchPublishUpdatesRequest& request) {
  for (int i = 0; i < request.requests_size() && !caller.acts_for_anybody(); ++i) {
    KLATCH_RETURN_IF_ERROR(
        caller.CheckActor(fmt::format("requests[{}].actor", i), request.requests(i).actor()));
  }
  return absl::OkStatus();
}

}  // namespace klatch
