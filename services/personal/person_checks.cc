#include "services/personal/person_checks.h"

#include <fmt/format.h>

#include <set>
#include <string>

#include "common/base/invalid_field.h"
#include "services/accept/validate.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

// Strings of a parsed message are UTF-8.
absl::Status CheckBytes(std::string_view value, size_t bytes_max, std::string_view field) {
  return value.size() <= bytes_max
             ? absl::OkStatus()
             : base::InvalidField(field, fmt::format("has {} bytes; at most {} are allowed",
                                                     value.size(), bytes_max));
}

absl::Status CheckProfileFields(const v1::Profile& profile) {
  if (profile.fields_size() > static_cast<int>(limits::kProfileFieldsMax)) {
    return base::InvalidField("profile.fields",
                              fmt::format("has {} fields; at most {} are allowed",
                                          profile.fields_size(), limits::kProfileFieldsMax));
  }
  for (const auto& [name, value] : profile.fields()) {
    if (name.empty()) {
      return base::InvalidField("profile.fields", "has a field without a name");
    }
    KLATCH_RETURN_IF_ERROR(CheckBytes(name, limits::kProfileFieldNameBytesMax, "profile.fields"));
    KLATCH_RETURN_IF_ERROR(CheckBytes(value, limits::kProfileFieldValueBytesMax,
                                      fmt::format("profile.fields[{}]", name)));
  }
  return absl::OkStatus();
}

absl::Status SetFromPaths(const google::protobuf::FieldMask& mask, ProfileChange& change) {
  for (const std::string& path : mask.paths()) {
    if (path == "display_name") {
      change.display_name = true;
    } else if (path == "avatar_uri") {
      change.avatar_uri = true;
    } else if (path == "bio") {
      change.bio = true;
    } else if (path == "fields") {
      change.fields = true;
    } else {
      return base::InvalidField("update_mask",
                                "names more than display_name, avatar_uri, bio and fields");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckOther(std::string_view person, std::string_view actor) {
  KLATCH_RETURN_IF_ERROR(CheckId(person, "person"));
  return person == actor ? base::InvalidField("person", "is the actor") : absl::OkStatus();
}

absl::StatusOr<std::vector<GroupId>> ReadTimelines(
    bool home, const google::protobuf::RepeatedPtrField<std::string>& groups) {
  if (!home && groups.empty()) {
    return base::InvalidField("groups", "is empty, and home is not asked for");
  }
  if (static_cast<size_t>(groups.size()) > limits::kUnreadGroupsMax) {
    return base::InvalidField("groups", fmt::format("has {} groups; at most {} are allowed",
                                                    groups.size(), limits::kUnreadGroupsMax));
  }
  std::vector<GroupId> timelines;
  std::set<std::string_view> seen;
  if (home) {
    timelines.emplace_back();
  }
  for (int i = 0; i < groups.size(); ++i) {
    const std::string field = fmt::format("groups[{}]", i);
    KLATCH_RETURN_IF_ERROR(CheckId(groups[i], field));
    if (!seen.insert(groups[i]).second) {
      return base::InvalidField(field, "is listed twice");
    }
    timelines.emplace_back(groups[i]);
  }
  return timelines;
}

void ProfileChange::ApplyTo(v1::Profile& profile) const {
  if (display_name) {
    profile.set_display_name(values.display_name());
  }
  if (avatar_uri) {
    profile.set_avatar_uri(values.avatar_uri());
  }
  if (bio) {
    profile.set_bio(values.bio());
  }
  if (fields) {
    *profile.mutable_fields() = values.fields();
  }
}

absl::StatusOr<ProfileChange> ReadProfileChange(const v1::UpdateProfileRequest& request) {
  const v1::Profile& profile = request.profile();
  ProfileChange change;
  if (request.update_mask().paths_size() > 0) {
    KLATCH_RETURN_IF_ERROR(SetFromPaths(request.update_mask(), change));
  } else {
    change.display_name = !profile.display_name().empty();
    change.avatar_uri = !profile.avatar_uri().empty();
    change.bio = !profile.bio().empty();
    change.fields = !profile.fields().empty();
  }
  if (!change.display_name && !change.avatar_uri && !change.bio && !change.fields) {
    return base::InvalidField("update_mask",
                              "names nothing and nothing is set: there is nothing to change");
  }
  change.values = profile;
  v1::Profile masked;
  change.ApplyTo(masked);
  KLATCH_RETURN_IF_ERROR(
      CheckBytes(masked.display_name(), limits::kDisplayNameBytesMax, "profile.display_name"));
  KLATCH_RETURN_IF_ERROR(
      CheckBytes(masked.avatar_uri(), limits::kUriBytesMax, "profile.avatar_uri"));
  KLATCH_RETURN_IF_ERROR(CheckBytes(masked.bio(), limits::kDescriptionBytesMax, "profile.bio"));
  KLATCH_RETURN_IF_ERROR(CheckProfileFields(masked));
  change.values = std::move(masked);
  return change;
}

}  // namespace klatch
