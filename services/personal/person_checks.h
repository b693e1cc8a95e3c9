#pragma once
// Checks of what PersonService is asked, beyond those of accept/validate.h. Each returns an error
// that names the field at fault.
//
// Errors: INVALID_ARGUMENT with the field's path.
// Thread safety: functions and values without state.

#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "klatch/v1/person_service.pb.h"
#include "services/model/ids.h"

namespace klatch {

// A valid id ("person") that is not the actor's.
absl::Status CheckOther(std::string_view person, std::string_view actor);

// The timelines that a request names: home first, as an empty group, then 1 to 100 groups, each
// once ("groups", "groups[3]"). At least one of both.
absl::StatusOr<std::vector<GroupId>> ReadTimelines(
    bool home, const google::protobuf::RepeatedPtrField<std::string>& groups);

// What an UpdateProfile changes: the mask, or what is set if there is none, with the new values.
struct ProfileChange {
  bool display_name = false;
  bool avatar_uri = false;
  bool bio = false;
  bool fields = false;
  v1::Profile values;

  void ApplyTo(v1::Profile& profile) const;
};
// ("update_mask" for an unknown path or if nothing is to change, "profile.…" for a bad new value;
// values that the mask doesn't name are not looked at.)
absl::StatusOr<ProfileChange> ReadProfileChange(const v1::UpdateProfileRequest& request);

}  // namespace klatch
