#include "services/klatch/commands_group.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <utility>

#include "common/base/decimal.h"
#include "common/base/option_value.h"
#include "common/base/status.h"
#include "services/klatch/commands_feed.h"
#include "services/klatch/print.h"
#include "services/klatch/roles.h"
#include "services/klatch/text.h"
#include "services/model/limits.h"

namespace klatch::cli {
namespace {

using Groups = v1::GroupService::Stub;

v1::History HistoryOf(std::string_view name) {
  if (name.empty()) {
    return v1::HISTORY_UNSPECIFIED;
  }
  if (name == "all" || name == "none") {
    return name == "all" ? v1::HISTORY_ALL : v1::HISTORY_NONE;
  }
  return v1::HISTORY_LAST;
}

v1::Joining JoiningOf(std::string_view name) {
  if (name.empty()) {
    return v1::JOINING_UNSPECIFIED;
  }
  return name == "open" ? v1::JOINING_OPEN : v1::JOINING_BY_INVITATION;
}

// The command line has checked that they can be read.
void FillRetention(const GroupOptions& options, v1::Group& group) {
  if (!options.keep_age.empty()) {
    const auto age = base::ParseDuration(options.keep_age);
    *group.mutable_retention()->mutable_age() =
        google::protobuf::util::TimeUtil::MillisecondsToDuration(age.ok() ? age->count() : 0);
  }
  if (!options.keep_count.empty()) {
    const auto count = base::ParseDecimal(options.keep_count);
    group.mutable_retention()->set_count(static_cast<uint32_t>(count.value_or(0)));
  }
  if (!options.keep_bytes.empty()) {
    const auto bytes = base::ParseBytes(options.keep_bytes);
    group.mutable_retention()->set_bytes(static_cast<uint64_t>(bytes.ok() ? *bytes : 0));
  }
}

void FillGroup(const GroupOptions& options, v1::Group& group) {
  group.set_id(options.group);
  group.set_display_name(options.display_name);
  group.set_description(options.description);
  group.set_history(HistoryOf(options.history));
  if (group.history() == v1::HISTORY_LAST) {
    group.set_history_count(static_cast<uint32_t>(base::ParseDecimal(options.history).value_or(0)));
  }
  group.set_default_audience(AudienceOf(options.audience));
  group.set_post_role(RoleOf(options.post_role));
  group.set_add_role(RoleOf(options.add_role));
  group.set_joining(JoiningOf(options.joining));
  group.set_closed(options.closed == "yes");
  FillRetention(options, group);
}

// Calls `send(first, last)` for consecutive slices of the persons, as many as one call takes.
template <typename Send>
absl::Status ForEachSlice(const std::vector<std::string>& persons, const Send& send) {
  for (size_t first = 0; first < persons.size(); first += limits::kMembersPerCallMax) {
    const size_t last = std::min(first + limits::kMembersPerCallMax, persons.size());
    KLATCH_RETURN_IF_ERROR(send(first, last));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> CreateGroup(const Session& session, const GroupOptions& options) {
  auto request = NewRequest<v1::CreateGroupRequest>(session);
  request.set_request_id(NewRequestId());
  FillGroup(options, *request.mutable_group());
  KLATCH_ASSIGN_OR_RETURN(
      auto response, session.client.Call(session.client.groups(), &Groups::CreateGroup, request));
  if (session.format == Format::kJson) {
    return ToJson(response);
  }
  return fmt::format("Created {}; {} owns it.\n", CleanLine(options.group),
                     CleanLine(session.actor));
}

absl::StatusOr<std::string> UpdateGroup(const Session& session, const GroupOptions& options) {
  auto request = NewRequest<v1::UpdateGroupRequest>(session);
  v1::Group& group = *request.mutable_group();
  FillGroup(options, group);
  const std::string not_given;
  const std::pair<const char*, const std::string*> fields[] = {
      {"display_name", &options.display_name},
      {"description", &options.description},
      {"history", &options.history},
      {"history_count", group.history_count() == 0 ? &not_given : &options.history},
      {"default_audience", &options.audience},
      {"post_role", &options.post_role},
      {"add_role", &options.add_role},
      {"joining", &options.joining},
      {"closed", &options.closed},
      {"retention.age", &options.keep_age},
      {"retention.count", &options.keep_count},
      {"retention.bytes", &options.keep_bytes}};
  for (const auto& [path, value] : fields) {
    if (!value->empty()) {
      request.mutable_update_mask()->add_paths(path);
    }
  }
  KLATCH_ASSIGN_OR_RETURN(
      auto response, session.client.Call(session.client.groups(), &Groups::UpdateGroup, request));
  return session.format == Format::kJson ? ToJson(response) : PrintGroup(response.group(), session);
}

absl::StatusOr<std::string> ShowGroup(const Session& session, const std::string& group) {
  auto request = NewRequest<v1::GetGroupRequest>(session);
  request.set_group(group);
  KLATCH_ASSIGN_OR_RETURN(auto response,
                          session.client.Call(session.client.groups(), &Groups::GetGroup, request));
  return session.format == Format::kJson ? ToJson(response) : PrintGroup(response.group(), session);
}

absl::StatusOr<std::string> DeleteGroup(const Session& session, const std::string& group) {
  auto request = NewRequest<v1::DeleteGroupRequest>(session);
  request.set_group(group);
  KLATCH_ASSIGN_OR_RETURN(
      auto response, session.client.Call(session.client.groups(), &Groups::DeleteGroup, request));
  return session.format == Format::kJson
             ? ToJson(response)
             : fmt::format("Deleted {}; no read shows its updates any more.\n", CleanLine(group));
}

absl::StatusOr<std::string> AddMembers(const Session& session, const MembersOptions& options) {
  v1::AddMembersResponse all;
  KLATCH_RETURN_IF_ERROR(ForEachSlice(options.persons, [&](size_t first, size_t last) {
    auto request = NewRequest<v1::AddMembersRequest>(session);
    request.set_request_id(NewRequestId());
    request.set_group(options.group);
    for (size_t i = first; i < last; ++i) {
      v1::Member* member = request.add_members();
      member->set_person(options.persons[i]);
      member->set_role(RoleOf(options.role));
    }
    auto response = session.client.Call(session.client.groups(), &Groups::AddMembers, request);
    if (response.ok()) {
      all.set_added_count(all.added_count() + response->added_count());
      all.set_unchanged_count(all.unchanged_count() + response->unchanged_count());
      *all.mutable_tokens() = response->tokens();
      all.mutable_chunk_positions()->MergeFrom(response->chunk_positions());
    }
    return response.status();
  }));
  if (session.format == Format::kJson) {
    return ToJson(all);
  }
  return fmt::format(
      "Added {} to {}{}.\n", Counted(all.added_count(), "person", "persons"),
      CleanLine(options.group),
      all.unchanged_count() == 0
          ? ""
          : fmt::format("; {} there already", Counted(all.unchanged_count(), "was", "were")));
}

absl::StatusOr<std::string> RemoveMembers(const Session& session, const MembersOptions& options) {
  v1::RemoveMembersResponse all;
  KLATCH_RETURN_IF_ERROR(ForEachSlice(options.persons, [&](size_t first, size_t last) {
    auto request = NewRequest<v1::RemoveMembersRequest>(session);
    request.set_request_id(NewRequestId());
    request.set_group(options.group);
    for (size_t i = first; i < last; ++i) {
      request.add_persons(options.persons[i]);
    }
    auto response = session.client.Call(session.client.groups(), &Groups::RemoveMembers, request);
    if (response.ok()) {
      all.set_removed_count(all.removed_count() + response->removed_count());
      all.set_unchanged_count(all.unchanged_count() + response->unchanged_count());
      *all.mutable_tokens() = response->tokens();
      all.mutable_chunk_positions()->MergeFrom(response->chunk_positions());
    }
    return response.status();
  }));
  if (session.format == Format::kJson) {
    return ToJson(all);
  }
  return fmt::format(
      "Removed {} from {}{}; the group's updates are out of their sight.\n",
      Counted(all.removed_count(), "person", "persons"), CleanLine(options.group),
      all.unchanged_count() == 0
          ? ""
          : fmt::format(" ({} no member)", Counted(all.unchanged_count(), "was", "were")));
}

absl::StatusOr<std::string> SetRole(const Session& session, const MembersOptions& options) {
  std::string text;
  for (const std::string& person : options.persons) {
    auto request = NewRequest<v1::UpdateMemberRequest>(session);
    request.set_group(options.group);
    request.mutable_member()->set_person(person);
    request.mutable_member()->set_role(RoleOf(options.role));
    KLATCH_ASSIGN_OR_RETURN(auto response, session.client.Call(session.client.groups(),
                                                               &Groups::UpdateMember, request));
    text += session.format == Format::kJson
                ? ToJson(response)
                : fmt::format("{} is {} of {} now.\n", CleanLine(person), options.role,
                              CleanLine(options.group));
  }
  return text;
}

absl::StatusOr<std::string> ListMembers(const Session& session, const std::string& group,
                                        int limit) {
  auto request = NewRequest<v1::ListMembersRequest>(session);
  request.set_group(group);
  v1::ListMembersResponse all;
  do {
    request.set_page_size(std::min(limit - all.members_size(), limits::kMembersPageMax));
    KLATCH_ASSIGN_OR_RETURN(
        auto page, session.client.Call(session.client.groups(), &Groups::ListMembers, request));
    for (auto& member : *page.mutable_members()) {
      *all.add_members() = std::move(member);
    }
    all.set_next_page_token(page.next_page_token());
    request.set_page_token(page.next_page_token());
  } while (all.members_size() < limit && !all.next_page_token().empty());
  if (session.format == Format::kJson) {
    return ToJson(all);
  }
  const auto shown = static_cast<uint64_t>(all.members_size());
  return PrintMembers(all.members(), session) +
         Dim(all.next_page_token().empty() ? Counted(shown, "member", "members")
                                           : fmt::format("{} shown; there are more: --limit",
                                                         Counted(shown, "member", "members")),
             session.screen) +
         "\n";
}

absl::StatusOr<std::string> ListGroups(const Session& session, int limit) {
  auto request = NewRequest<v1::ListPersonGroupsRequest>(session);
  v1::ListPersonGroupsResponse all;
  do {
    request.set_page_size(std::min(limit - all.groups_size(), limits::kMembersPageMax));
    KLATCH_ASSIGN_OR_RETURN(auto page, session.client.Call(session.client.groups(),
                                                           &Groups::ListPersonGroups, request));
    for (auto& group : *page.mutable_groups()) {
      *all.add_groups() = std::move(group);
    }
    all.set_next_page_token(page.next_page_token());
    request.set_page_token(page.next_page_token());
  } while (all.groups_size() < limit && !all.next_page_token().empty());
  if (session.format == Format::kJson) {
    return ToJson(all);
  }
  if (all.groups_size() == 0) {
    return fmt::format("{} is in no group.\n", CleanLine(session.actor));
  }
  return PrintPersonGroups(all.groups(), session) +
         (all.next_page_token().empty() ? "" : "There are more: --limit.\n");
}

}  // namespace klatch::cli
