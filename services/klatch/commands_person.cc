#include "services/klatch/commands_person.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/base/decimal.h"
#include "common/base/status.h"
#include "services/klatch/print.h"
#include "services/klatch/text.h"
#include "services/model/limits.h"

namespace klatch::cli {
namespace {

using Persons = v1::PersonService::Stub;

// Calls a method that answers nothing but that it has been done; says so in `text`.
template <typename Request, typename Response>
absl::StatusOr<std::string> Do(const Session& session,
                               grpc::Status (Persons::*method)(grpc::ClientContext*, const Request&,
                                                               Response*),
                               const Request& request, const std::string& text) {
  KLATCH_ASSIGN_OR_RETURN(const Response response,
                          session.client.Call(session.client.persons(), method, request));
  return session.format == Format::kJson ? ToJson(response) : text + "\n";
}

template <typename Request>
Request OfPerson(const Session& session, const std::string& person) {
  auto request = NewRequest<Request>(session);
  request.set_person(person);
  return request;
}

template <typename Request>
Request OfGroup(const Session& session, const std::string& group) {
  auto request = NewRequest<Request>(session);
  request.set_group(group);
  return request;
}

template <typename Request>
Request OfUpdate(const Session& session, uint64_t update_id) {
  auto request = NewRequest<Request>(session);
  request.set_update_id(update_id);
  return request;
}

std::string MoreThereIs(const std::string& next_page_token) {
  return next_page_token.empty() ? "" : "There are more: --limit.\n";
}

std::string TimelineName(const std::string& group) { return group.empty() ? "home" : group; }

absl::StatusOr<std::string> SetMarker(const Session& session, const std::string& group,
                                      const std::string& up_to) {
  auto request = NewRequest<v1::SetReadMarkerRequest>(session);
  if (group.empty()) {
    request.set_home(true);
  } else {
    request.set_group(group);
  }
  if (up_to == "now") {
    request.set_now(true);
  } else if (const auto update = base::ParseDecimal(up_to)) {
    request.set_update_id(*update);
  } else {
    return base::Error(
        absl::StatusCode::kInvalidArgument,
        fmt::format("--set takes now, or an update's id, not '{}'", CleanLine(up_to)));
  }
  KLATCH_ASSIGN_OR_RETURN(
      const auto response,
      session.client.Call(session.client.persons(), &Persons::SetReadMarker, request));
  if (session.format == Format::kJson) {
    return ToJson(response);
  }
  return fmt::format("Read {} up to {}.\n", CleanLine(TimelineName(group)),
                     response.marker().update_id());
}

std::string PrintMarkers(const v1::GetReadMarkersResponse& markers,
                         const v1::GetUnreadCountsResponse& unread, const Session& session) {
  std::vector<std::vector<std::string>> rows;
  for (const v1::ReadMarker& marker : markers.markers()) {
    const auto count = std::ranges::find(unread.counts(), marker.group(), &v1::UnreadCount::group);
    std::string shown = "not a member";
    if (count != unread.counts().end()) {
      shown = WithThousands(count->count()) + (count->is_at_least() ? " or more" : "");
    }
    rows.push_back({CleanLine(TimelineName(marker.group())),
                    marker.update_id() == 0 ? "-" : std::to_string(marker.update_id()),
                    std::move(shown)});
  }
  return RenderTable({{"TIMELINE"}, {"READ UP TO"}, {"UNREAD"}}, rows, session.screen);
}

std::string PrintProfile(const v1::Profile& profile, const Session& session) {
  std::vector<std::vector<std::string>> rows = {{"person", CleanLine(profile.person())}};
  const auto add = [&rows](const std::string& name, const std::string& value) {
    if (!value.empty()) {
      rows.push_back({name, Clean(value)});
    }
  };
  add("name", profile.display_name());
  add("avatar", profile.avatar_uri());
  add("bio", profile.bio());
  std::vector<std::pair<std::string, std::string>> fields(profile.fields().begin(),
                                                          profile.fields().end());
  std::ranges::sort(fields);
  for (const auto& [name, value] : fields) {
    rows.push_back({CleanLine(name), Clean(value)});
  }
  return RenderTable({{"FIELD"}, {"VALUE"}}, rows, session.screen);
}

absl::Status CheckTarget(const MuteOptions& options) {
  return options.person.empty() && options.group.empty()
             ? base::Error(absl::StatusCode::kInvalidArgument, "name a person, or --group GROUP")
             : absl::OkStatus();
}

bool ChangesProfile(const ProfileOptions& options) {
  return options.display_name || options.avatar_uri || options.bio || !options.fields.empty();
}

absl::StatusOr<std::string> ChangeProfile(const Session& session, const ProfileOptions& options) {
  auto request = NewRequest<v1::UpdateProfileRequest>(session);
  v1::Profile& profile = *request.mutable_profile();
  const auto set = [&request](const char* path) { request.mutable_update_mask()->add_paths(path); };
  if (options.display_name) {
    profile.set_display_name(*options.display_name);
    set("display_name");
  }
  if (options.avatar_uri) {
    profile.set_avatar_uri(*options.avatar_uri);
    set("avatar_uri");
  }
  if (options.bio) {
    profile.set_bio(*options.bio);
    set("bio");
  }
  for (const std::string& field : options.fields) {
    const size_t equals = field.find('=');
    if (equals == std::string::npos) {
      return base::Error(absl::StatusCode::kInvalidArgument,
                         fmt::format("--field takes NAME=VALUE, not '{}'", CleanLine(field)));
    }
    (*profile.mutable_fields())[field.substr(0, equals)] = field.substr(equals + 1);
  }
  if (!options.fields.empty()) {
    set("fields");
  }
  KLATCH_ASSIGN_OR_RETURN(
      const auto response,
      session.client.Call(session.client.persons(), &Persons::UpdateProfile, request));
  return session.format == Format::kJson ? ToJson(response)
                                         : PrintProfile(response.profile(), session);
}

}  // namespace

absl::StatusOr<std::string> BlockPerson(const Session& session, const std::string& person) {
  return Do(
      session, &Persons::BlockPerson, OfPerson<v1::BlockPersonRequest>(session, person),
      fmt::format("Blocked {}; neither of you sees anything of the other.", CleanLine(person)));
}

absl::StatusOr<std::string> UnblockPerson(const Session& session, const std::string& person) {
  return Do(session, &Persons::UnblockPerson, OfPerson<v1::UnblockPersonRequest>(session, person),
            fmt::format("Unblocked {}.", CleanLine(person)));
}

absl::StatusOr<std::string> ListBlocks(const Session& session, int limit) {
  auto request = NewRequest<v1::ListBlocksRequest>(session);
  v1::ListBlocksResponse all;
  do {
    request.set_page_size(std::min(limit - all.persons_size(), limits::kMembersPageMax));
    KLATCH_ASSIGN_OR_RETURN(const auto page, session.client.Call(session.client.persons(),
                                                                 &Persons::ListBlocks, request));
    all.mutable_persons()->MergeFrom(page.persons());
    all.set_next_page_token(page.next_page_token());
    request.set_page_token(page.next_page_token());
  } while (all.persons_size() < limit && !all.next_page_token().empty());
  if (session.format == Format::kJson) {
    return ToJson(all);
  }
  if (all.persons_size() == 0) {
    return fmt::format("{} has blocked nobody.\n", CleanLine(session.actor));
  }
  std::vector<std::vector<std::string>> rows;
  for (const std::string& person : all.persons()) {
    rows.push_back({CleanLine(person)});
  }
  return RenderTable({{"BLOCKED"}}, rows, session.screen) + MoreThereIs(all.next_page_token());
}

absl::StatusOr<std::string> Mute(const Session& session, const MuteOptions& options) {
  KLATCH_RETURN_IF_ERROR(CheckTarget(options));
  const std::string text =
      fmt::format("Muted {}; it stays off the home timeline.",
                  CleanLine(options.group.empty() ? options.person : options.group));
  return options.group.empty() ? Do(session, &Persons::MutePerson,
                                    OfPerson<v1::MutePersonRequest>(session, options.person), text)
                               : Do(session, &Persons::MuteGroup,
                                    OfGroup<v1::MuteGroupRequest>(session, options.group), text);
}

absl::StatusOr<std::string> Unmute(const Session& session, const MuteOptions& options) {
  KLATCH_RETURN_IF_ERROR(CheckTarget(options));
  const std::string text =
      fmt::format("Unmuted {}.", CleanLine(options.group.empty() ? options.person : options.group));
  return options.group.empty()
             ? Do(session, &Persons::UnmutePerson,
                  OfPerson<v1::UnmutePersonRequest>(session, options.person), text)
             : Do(session, &Persons::UnmuteGroup,
                  OfGroup<v1::UnmuteGroupRequest>(session, options.group), text);
}

absl::StatusOr<std::string> ListMutes(const Session& session) {
  KLATCH_ASSIGN_OR_RETURN(const auto response,
                          session.client.Call(session.client.persons(), &Persons::ListMutes,
                                              NewRequest<v1::ListMutesRequest>(session)));
  if (session.format == Format::kJson) {
    return ToJson(response);
  }
  if (response.persons_size() + response.groups_size() == 0) {
    return fmt::format("{} has muted nothing.\n", CleanLine(session.actor));
  }
  std::vector<std::vector<std::string>> rows;
  for (const std::string& person : response.persons()) {
    rows.push_back({"person", CleanLine(person)});
  }
  for (const std::string& group : response.groups()) {
    rows.push_back({"group", CleanLine(group)});
  }
  return RenderTable({{"WHAT"}, {"MUTED"}}, rows, session.screen);
}

absl::StatusOr<std::string> Hide(const Session& session, uint64_t update_id) {
  return Do(session, &Persons::HideUpdate, OfUpdate<v1::HideUpdateRequest>(session, update_id),
            fmt::format("Hid {}.", update_id));
}

absl::StatusOr<std::string> Unhide(const Session& session, uint64_t update_id) {
  return Do(session, &Persons::UnhideUpdate, OfUpdate<v1::UnhideUpdateRequest>(session, update_id),
            fmt::format("{} is back on the timelines.", update_id));
}

absl::StatusOr<std::string> ListHidden(const Session& session, int limit) {
  auto request = NewRequest<v1::ListHiddenRequest>(session);
  v1::ListHiddenResponse all;
  do {
    request.set_page_size(std::min(limit - all.update_ids_size(), limits::kMembersPageMax));
    KLATCH_ASSIGN_OR_RETURN(const auto page, session.client.Call(session.client.persons(),
                                                                 &Persons::ListHidden, request));
    all.mutable_update_ids()->MergeFrom(page.update_ids());
    all.set_next_page_token(page.next_page_token());
    request.set_page_token(page.next_page_token());
  } while (all.update_ids_size() < limit && !all.next_page_token().empty());
  if (session.format == Format::kJson) {
    return ToJson(all);
  }
  if (all.update_ids_size() == 0) {
    return fmt::format("{} has hidden nothing.\n", CleanLine(session.actor));
  }
  std::vector<std::vector<std::string>> rows;
  for (const uint64_t update : all.update_ids()) {
    rows.push_back({std::to_string(update)});
  }
  return RenderTable({{"HIDDEN"}}, rows, session.screen) + MoreThereIs(all.next_page_token());
}

absl::StatusOr<std::string> Markers(const Session& session, const MarkerOptions& options) {
  if (!options.set.empty()) {
    std::string text;
    const std::vector<std::string> home(1);
    for (const std::string& group : options.groups.empty() ? home : options.groups) {
      KLATCH_ASSIGN_OR_RETURN(const std::string line, SetMarker(session, group, options.set));
      text += line;
    }
    return text;
  }
  auto markers = NewRequest<v1::GetReadMarkersRequest>(session);
  auto unread = NewRequest<v1::GetUnreadCountsRequest>(session);
  markers.set_home(options.groups.empty());
  unread.set_home(options.groups.empty());
  for (const std::string& group : options.groups) {
    markers.add_groups(group);
    unread.add_groups(group);
  }
  KLATCH_ASSIGN_OR_RETURN(const auto where, session.client.Call(session.client.persons(),
                                                                &Persons::GetReadMarkers, markers));
  KLATCH_ASSIGN_OR_RETURN(
      const auto how_many,
      session.client.Call(session.client.persons(), &Persons::GetUnreadCounts, unread));
  return session.format == Format::kJson ? ToJson(where) + ToJson(how_many)
                                         : PrintMarkers(where, how_many, session);
}

absl::StatusOr<std::string> Profile(const Session& session, const ProfileOptions& options) {
  if (ChangesProfile(options)) {
    return ChangeProfile(session, options);
  }
  KLATCH_ASSIGN_OR_RETURN(
      const auto response,
      session.client.Call(session.client.persons(), &Persons::GetProfile,
                          OfPerson<v1::GetProfileRequest>(
                              session, options.person.empty() ? session.actor : options.person)));
  return session.format == Format::kJson ? ToJson(response)
                                         : PrintProfile(response.profile(), session);
}

}  // namespace klatch::cli
