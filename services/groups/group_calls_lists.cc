#include <optional>

#include "services/accept/validate.h"
#include "services/groups/group_calls.h"
#include "services/groups/group_message.h"
#include "services/groups/member_pages.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

constexpr char kMembersList[] = "members";
constexpr char kPersonGroupsList[] = "person_groups";

// Where the page of members begins.
absl::StatusOr<MemberCursor> ReadMemberCursor(const PageTokens& tokens,
                                              const PageTokens::Scope& scope,
                                              std::string_view token) {
  if (token.empty()) {
    return MemberCursor();
  }
  KLATCH_ASSIGN_OR_RETURN(const std::string payload, tokens.Read(scope, token));
  std::optional<MemberCursor> cursor = DecodeMemberCursor(payload);
  if (!cursor) {
    return base::FieldError(absl::StatusCode::kInvalidArgument, "page_token",
                            "is not from a page of this list");
  }
  return *std::move(cursor);
}

}  // namespace

base::Task<absl::StatusOr<v1::ListMembersResponse>> GroupCalls::ListMembers(
    v1::ListMembersRequest request, base::MonotonicTime /*deadline*/) {
  absl::Status status = CheckNamespace(request.namespace_(), dependencies_.layout);
  if (status.ok()) {
    status = CheckId(request.actor(), "actor");
  }
  if (status.ok()) {
    status = CheckId(request.group(), "group");
  }
  if (!status.ok()) {
    co_return status;
  }
  const absl::StatusOr<int> page_size =
      CheckPageSize(request.page_size(), limits::kMembersPageDefault, limits::kMembersPageMax);
  if (!page_size.ok()) {
    co_return page_size.status();
  }
  const PageTokens::Scope scope{kMembersList, request.actor(), request.group()};
  const absl::StatusOr<MemberCursor> cursor =
      ReadMemberCursor(page_tokens_, scope, request.page_token());
  if (!cursor.ok()) {
    co_return cursor.status();
  }
  const GroupId group(request.group());
  auto reading = ReadAsMember(group, PersonId(request.actor()));
  const absl::StatusOr<v1::Group> found = co_await std::move(reading);
  if (!found.ok()) {
    co_return found.status();
  }
  const auto size = static_cast<size_t>(*page_size);
  auto paging = ReadMemberPage(dependencies_.reader, group, *cursor, size);
  const absl::StatusOr<MemberPage> page = co_await std::move(paging);
  co_await dependencies_.executor.Schedule();
  if (!page.ok()) {
    co_return page.status();
  }
  v1::ListMembersResponse response;
  for (const StoredMember& member : page->members) {
    *response.add_members() = MemberMessage(member.person.value(), member.stay);
  }
  if (page->next) {
    response.set_next_page_token(page_tokens_.Make(scope, EncodeMemberCursor(*page->next)));
  }
  co_return response;
}

base::Task<absl::StatusOr<v1::ListPersonGroupsResponse>> GroupCalls::ListPersonGroups(
    v1::ListPersonGroupsRequest request, base::MonotonicTime deadline) {
  absl::Status status = CheckNamespace(request.namespace_(), dependencies_.layout);
  if (status.ok()) {
    status = CheckId(request.actor(), "actor");
  }
  if (!status.ok()) {
    co_return status;
  }
  const absl::StatusOr<int> page_size =
      CheckPageSize(request.page_size(), limits::kMembersPageDefault, limits::kMembersPageMax);
  if (!page_size.ok()) {
    co_return page_size.status();
  }
  absl::StatusOr<std::vector<Token>> tokens = CheckTokens(request.tokens(), dependencies_.layout);
  if (!tokens.ok()) {
    co_return tokens.status();
  }
  const PageTokens::Scope scope{kPersonGroupsList, request.actor()};
  absl::StatusOr<std::string> after = std::string();
  if (!request.page_token().empty()) {
    after = page_tokens_.Read(scope, request.page_token());
  }
  if (!after.ok()) {
    co_return after.status();
  }
  if (!tokens->empty()) {
    auto waiting = dependencies_.barrier.WaitApplied(*std::move(tokens), deadline);
    status = co_await std::move(waiting);
    if (!status.ok()) {
      co_return status;
    }
  }
  // One more than shown tells whether there is a next page.
  const auto shown_max = static_cast<size_t>(*page_size);
  const PersonId actor(request.actor());
  const auto groups = dependencies_.person_groups.List(actor, *after, shown_max + 1);
  if (!groups.ok()) {
    co_return groups.status();
  }
  v1::ListPersonGroupsResponse response;
  for (size_t i = 0; i < std::min(shown_max, groups->size()); ++i) {
    v1::PersonGroup* item = response.add_groups();
    item->set_group((*groups)[i].group.value());
    *item->mutable_member() = MemberMessage("", (*groups)[i].stay);
  }
  if (groups->size() > shown_max) {
    const std::string& last = response.groups(response.groups_size() - 1).group();
    response.set_next_page_token(page_tokens_.Make(scope, last));
  }
  co_return response;
}

}  // namespace klatch
