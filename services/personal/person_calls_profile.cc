// The part of PersonCalls about profiles.
#include <utility>

#include "services/log/outcome.h"
#include "services/personal/person_calls.h"
#include "services/personal/person_calls_internal.h"
#include "services/personal/person_checks.h"

namespace klatch {
namespace {

// The same whether there is no profile or a block, so that nobody learns who has blocked them.
absl::Status NoProfile() {
  return base::FieldError(absl::StatusCode::kNotFound, "person",
                          "has no profile that the actor can see");
}

}  // namespace

PersonCalls::Answer<v1::UpdateProfileResponse> PersonCalls::UpdateProfile(
    v1::UpdateProfileRequest request, base::MonotonicTime deadline) {
  const absl::Status caller = CheckCaller(request);
  if (!caller.ok()) {
    co_return caller;
  }
  const absl::StatusOr<ProfileChange> change = ReadProfileChange(request);
  if (!change.ok()) {
    co_return change.status();
  }
  auto changing = d_.writes.ChangeProfile(PersonId(request.actor()), *change, deadline);
  absl::StatusOr<v1::Profile> profile = co_await std::move(changing);
  if (!profile.ok()) {
    co_return profile.status();
  }
  v1::UpdateProfileResponse response;
  *response.mutable_profile() = *std::move(profile);
  co_return response;
}

PersonCalls::Answer<v1::Profile> PersonCalls::ReadProfile(PersonId person) {
  const std::string key = keys_.PersonHash(person);
  redis::Command command{"HGET", key, personal::kProfileField};
  redis::Pipeline::CallAwaiter calling = d_.redis.Call(std::move(command));
  const absl::StatusOr<redis::Reply> reply = co_await calling;
  co_await d_.executor.Schedule();
  if (!reply.ok()) {
    co_return base::Annotate(reply.status(), "read the profile");
  }
  if (reply->is_error()) {
    co_return RedisRefusal(reply->text(), key);
  }
  v1::Profile profile;
  if (!profile.ParseFromString(std::string(reply->text()))) {
    co_return base::Error(absl::StatusCode::kDataLoss, "key " + key + " holds no profile");
  }
  co_return profile;
}

PersonCalls::Answer<v1::GetProfileResponse> PersonCalls::GetProfile(
    v1::GetProfileRequest request, base::MonotonicTime /*deadline*/) {
  absl::Status status = CheckCaller(request);
  status.Update(CheckId(request.person(), "person"));
  if (!status.ok()) {
    co_return status;
  }
  const PersonId actor(request.actor());
  const PersonId person(request.person());
  auto reading = ReadProfile(person);
  absl::StatusOr<v1::Profile> profile = co_await std::move(reading);
  if (!profile.ok()) {
    co_return profile.status();
  }
  // Nothing waits from here on.
  status = CheckOwner(request.actor());
  if (!status.ok()) {
    co_return status;
  }
  const bool is_there = actor == person || profile->ByteSizeLong() > 0;
  if (!is_there || d_.store.IsBlockedBetween(actor, person)) {
    co_return NoProfile();
  }
  profile->set_person(request.person());
  v1::GetProfileResponse response;
  *response.mutable_profile() = *std::move(profile);
  co_return response;
}

}  // namespace klatch
