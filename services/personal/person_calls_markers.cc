// The part of PersonCalls about read markers.
#include <algorithm>
#include <optional>
#include <utility>

#include "common/base/invalid_field.h"
#include "services/log/outcome.h"
#include "services/model/limits.h"
#include "services/personal/person_calls.h"
#include "services/personal/person_calls_internal.h"
#include "services/personal/person_checks.h"

namespace klatch {
namespace {

// What SetReadMarker is asked, but for whether the update is from the future.
absl::Status CheckTarget(const v1::SetReadMarkerRequest& request) {
  switch (request.timeline_case()) {
    case v1::SetReadMarkerRequest::kGroup:
      KLATCH_RETURN_IF_ERROR(CheckId(request.group(), "group"));
      break;
    case v1::SetReadMarkerRequest::kHome:
      if (!request.home()) {
        return base::InvalidField("home", "is false, and no group is named");
      }
      break;
    case v1::SetReadMarkerRequest::TIMELINE_NOT_SET:
      return base::InvalidField("home", "is missing, and no group is named");
  }
  switch (request.up_to_case()) {
    case v1::SetReadMarkerRequest::kUpdateId:
      return CheckUpdateId(request.update_id(), "update_id");
    case v1::SetReadMarkerRequest::kNow:
      return request.now() ? absl::OkStatus()
                           : base::InvalidField("now", "is false, and no update is named");
    case v1::SetReadMarkerRequest::UP_TO_NOT_SET:
      break;
  }
  return base::InvalidField("update_id", "is missing, and now is not asked for");
}

v1::ReadMarker MarkerMessage(const GroupId& group, UpdateId marker) {
  v1::ReadMarker message;
  message.set_group(group.value());
  message.set_update_id(marker.value());
  return message;
}

}  // namespace

PersonCalls::Answer<v1::SetReadMarkerResponse> PersonCalls::SetReadMarker(
    v1::SetReadMarkerRequest request, base::MonotonicTime deadline) {
  absl::Status status = CheckCaller(request);
  status.Update(CheckTarget(request));
  if (!status.ok()) {
    co_return status;
  }
  absl::StatusOr<std::vector<Token>> tokens = CheckTokens(request.tokens(), d_.layout);
  if (!tokens.ok()) {
    co_return tokens.status();
  }
  auto applying = d_.barrier.WaitApplied(*std::move(tokens), deadline);
  status = co_await std::move(applying);
  if (!status.ok()) {
    co_return status;
  }
  const PersonId actor(request.actor());
  const GroupId group(request.group());
  const auto named =
      request.has_update_id() ? std::optional(UpdateId(request.update_id())) : std::nullopt;
  auto placing = d_.timelines.PlaceMarker(actor, group, named);
  const absl::StatusOr<UpdateId> placed = co_await std::move(placing);
  if (!placed.ok()) {
    co_return placed.status();
  }
  auto raising = d_.writes.RaiseMarker(actor, group, *placed, deadline);
  const absl::StatusOr<UpdateId> raised = co_await std::move(raising);
  if (!raised.ok()) {
    co_return raised.status();
  }
  v1::SetReadMarkerResponse response;
  *response.mutable_marker() = MarkerMessage(group, *raised);
  co_return response;
}

PersonCalls::Answer<std::vector<UpdateId>> PersonCalls::ReadMarkers(
    PersonId actor, std::vector<GroupId> timelines) {
  const std::string key = keys_.PersonHash(actor);
  std::vector<std::string> words = {"HMGET", key};
  for (const GroupId& group : timelines) {
    words.push_back(personal::MarkerField(group));
  }
  redis::Command command(std::move(words));
  redis::Pipeline::CallAwaiter calling = d_.redis.Call(std::move(command));
  const absl::StatusOr<redis::Reply> reply = co_await calling;
  co_await d_.executor.Schedule();
  if (!reply.ok()) {
    co_return base::Annotate(reply.status(), "read markers");
  }
  if (reply->is_error()) {
    co_return RedisRefusal(reply->text(), key);
  }
  std::vector<UpdateId> markers;
  for (size_t i = 0; i < timelines.size(); ++i) {
    const redis::ReplyView stored = (*reply)[i];
    const auto marker =
        stored.is_nil() ? std::optional(UpdateId()) : personal::DecodeMarker(stored.text());
    if (!marker) {
      co_return base::Error(
          absl::StatusCode::kDataLoss,
          "key " + key + " holds no marker in field " + personal::MarkerField(timelines[i]));
    }
    markers.push_back(*marker);
  }
  co_return markers;
}

PersonCalls::Answer<v1::GetReadMarkersResponse> PersonCalls::GetReadMarkers(
    v1::GetReadMarkersRequest request, base::MonotonicTime /*deadline*/) {
  const absl::Status caller = CheckCaller(request);
  if (!caller.ok()) {
    co_return caller;
  }
  const absl::StatusOr<std::vector<GroupId>> timelines =
      ReadTimelines(request.home(), request.groups());
  if (!timelines.ok()) {
    co_return timelines.status();
  }
  auto reading = ReadMarkers(PersonId(request.actor()), *timelines);
  const absl::StatusOr<std::vector<UpdateId>> markers = co_await std::move(reading);
  if (!markers.ok()) {
    co_return markers.status();
  }
  const absl::Status owner = CheckOwner(request.actor());
  if (!owner.ok()) {
    co_return owner;
  }
  v1::GetReadMarkersResponse response;
  for (size_t i = 0; i < timelines->size(); ++i) {
    *response.add_markers() = MarkerMessage((*timelines)[i], (*markers)[i]);
  }
  co_return response;
}

PersonCalls::Answer<v1::GetUnreadCountsResponse> PersonCalls::GetUnreadCounts(
    v1::GetUnreadCountsRequest request, base::MonotonicTime deadline) {
  const absl::Status caller = CheckCaller(request);
  if (!caller.ok()) {
    co_return caller;
  }
  const absl::StatusOr<std::vector<GroupId>> timelines =
      ReadTimelines(request.home(), request.groups());
  if (!timelines.ok()) {
    co_return timelines.status();
  }
  absl::StatusOr<std::vector<Token>> tokens = CheckTokens(request.tokens(), d_.layout);
  if (!tokens.ok()) {
    co_return tokens.status();
  }
  auto applying = d_.barrier.WaitApplied(*std::move(tokens), deadline);
  const absl::Status applied = co_await std::move(applying);
  if (!applied.ok()) {
    co_return applied;
  }
  const PersonId actor(request.actor());
  auto reading = ReadMarkers(actor, *timelines);
  const absl::StatusOr<std::vector<UpdateId>> markers = co_await std::move(reading);
  if (!markers.ok()) {
    co_return markers.status();
  }
  auto counting = CountEach(actor, *timelines, *markers, deadline);
  co_return co_await std::move(counting);
}

PersonCalls::Answer<v1::GetUnreadCountsResponse> PersonCalls::CountEach(
    PersonId actor, std::vector<GroupId> timelines, std::vector<UpdateId> markers,
    base::MonotonicTime deadline) {
  const size_t examined_max =
      std::min(limits::kUnreadExaminedMax, limits::kUnreadExaminedOfAllMax / timelines.size());
  v1::GetUnreadCountsResponse response;
  for (size_t i = 0; i < timelines.size(); ++i) {
    if (d_.clock.Monotonic() >= deadline) {
      co_return base::Error(absl::StatusCode::kDeadlineExceeded,
                            "the deadline came before all timelines were looked at");
    }
    auto counting = d_.timelines.CountUnread(actor, timelines[i], markers[i], examined_max);
    const absl::StatusOr<Unread> unread = co_await std::move(counting);
    if (absl::IsNotFound(unread.status()) || absl::IsPermissionDenied(unread.status())) {
      continue;  // A group that the actor is not in, or that does not exist.
    }
    if (!unread.ok()) {
      co_return unread.status();
    }
    v1::UnreadCount* count = response.add_counts();
    count->set_group(timelines[i].value());
    count->set_count(unread->count);
    count->set_is_at_least(unread->is_at_least);
  }
  co_return response;
}

}  // namespace klatch
