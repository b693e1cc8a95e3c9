#include "services/live/watch_request.h"

#include <fmt/format.h>

#include <utility>

#include "services/accept/validate.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

absl::StatusOr<std::chrono::seconds> CheckHeartbeat(int32_t seconds) {
  if (seconds < 0 || seconds > limits::kWatchHeartbeatSecondsMax) {
    return base::FieldError(absl::StatusCode::kInvalidArgument, "heartbeat_seconds",
                            fmt::format("must be 0 to {}", limits::kWatchHeartbeatSecondsMax));
  }
  return std::chrono::seconds(seconds == 0 ? limits::kWatchHeartbeatSecondsDefault : seconds);
}

absl::StatusOr<std::vector<PersonId>> CheckWatched(
    const google::protobuf::RepeatedPtrField<std::string>& persons, std::string_view field) {
  if (persons.empty()) {
    return base::FieldError(absl::StatusCode::kInvalidArgument, field, "names nobody");
  }
  if (persons.size() > static_cast<int>(limits::kWatchPersonsPerStreamMax)) {
    return base::FieldError(absl::StatusCode::kInvalidArgument, field,
                            fmt::format("must be at most {}", limits::kWatchPersonsPerStreamMax));
  }
  std::vector<PersonId> checked;
  checked.reserve(static_cast<size_t>(persons.size()));
  for (int i = 0; i < persons.size(); ++i) {
    KLATCH_RETURN_IF_ERROR(CheckId(persons[i], fmt::format("{}[{}]", field, i)));
    checked.emplace_back(persons[i]);
  }
  return checked;
}

std::shared_ptr<const WatchPlace> Shared(WatchPlace place) {
  return std::make_shared<const WatchPlace>(std::move(place));
}

}  // namespace

absl::StatusOr<WatchChange> CheckWatch(const v1::WatchHomeTimelineRequest& request,
                                       const Layout& layout, const WatchTokens& tokens) {
  KLATCH_RETURN_IF_ERROR(CheckNamespace(request.namespace_(), layout));
  KLATCH_RETURN_IF_ERROR(CheckId(request.actor(), "actor"));
  WatchChange change;
  KLATCH_ASSIGN_OR_RETURN(change.heartbeat, CheckHeartbeat(request.heartbeat_seconds()));
  KLATCH_ASSIGN_OR_RETURN(change.add.tokens, CheckTokens(request.tokens(), layout));
  change.add.persons = {PersonId(request.actor())};
  if (!request.resume_token().empty()) {
    KLATCH_ASSIGN_OR_RETURN(
        WatchPlace place,
        tokens.ReadForPerson(change.add.persons.front(), request.resume_token(), "resume_token"));
    change.add.place = Shared(std::move(place));
  }
  return change;
}

absl::StatusOr<WatchChange> CheckWatches(const v1::WatchHomeTimelinesRequest& request,
                                         bool is_first, const Layout& layout,
                                         const WatchTokens& tokens) {
  WatchChange change;
  if (!is_first && (!request.namespace_().empty() || request.heartbeat_seconds() != 0)) {
    return base::FieldError(absl::StatusCode::kInvalidArgument,
                            request.namespace_().empty() ? "heartbeat_seconds" : "namespace",
                            "belongs into the first message only");
  }
  KLATCH_RETURN_IF_ERROR(CheckNamespace(request.namespace_(), layout));
  KLATCH_ASSIGN_OR_RETURN(change.heartbeat, CheckHeartbeat(request.heartbeat_seconds()));
  switch (request.change_case()) {
    case v1::WatchHomeTimelinesRequest::kAdd: {
      const v1::WatchAdd& add = request.add();
      KLATCH_ASSIGN_OR_RETURN(change.add.persons, CheckWatched(add.persons(), "add.persons"));
      if (!add.resume_token().empty()) {
        auto place = tokens.ReadForStream(add.resume_token(), "add.resume_token");
        if (!place.ok() && change.add.persons.size() == 1) {
          place = tokens.ReadForPerson(change.add.persons.front(), add.resume_token(),
                                       "add.resume_token");
        }
        KLATCH_RETURN_IF_ERROR(place.status());
        change.add.place = Shared(*std::move(place));
      }
      break;
    }
    case v1::WatchHomeTimelinesRequest::kRemove: {
      KLATCH_ASSIGN_OR_RETURN(change.remove,
                              CheckWatched(request.remove().persons(), "remove.persons"));
      break;
    }
    case v1::WatchHomeTimelinesRequest::CHANGE_NOT_SET:
      if (!is_first) {
        return base::FieldError(absl::StatusCode::kInvalidArgument, "change",
                                "says neither add nor remove");
      }
      break;
  }
  return change;
}

}  // namespace klatch
