#include "common/base/bytes.h"
#include "services/accept/validate.h"
#include "services/groups/group_calls.h"
#include "services/groups/group_message.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

constexpr char kMembersList[] = "members";
constexpr char kPersonGroupsList[] = "person_groups";

// Where the scan of members goes on; 0 begins it.
absl::StatusOr<uint64_t> ReadScanCursor(const PageTokens& tokens, const PageTokens::Scope& scope,
                                        std::string_view token) {
  if (token.empty()) {
    return 0;
  }
  KLATCH_ASSIGN_OR_RETURN(const std::string payload, tokens.Read(scope, token));
  if (payload.size() != sizeof(uint64_t)) {
    return base::FieldError(absl::StatusCode::kInvalidArgument, "page_token",
                            "is not from a page of this list");
  }
  return base::LoadLittleEndian<uint64_t>(payload, 0);
}

std::string ScanCursorBytes(uint64_t cursor) {
  std::string bytes;
  base::AppendLittleEndian<uint64_t>(bytes, cursor);
  return bytes;
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
  const absl::StatusOr<uint64_t> cursor = ReadScanCursor(page_tokens_, scope, request.page_token());
  if (!cursor.ok()) {
    co_return cursor.status();
  }
  const GroupId group(request.group());
  auto reading = ReadAsMember(group, PersonId(request.actor()));
  const absl::StatusOr<v1::Group> found = co_await std::move(reading);
  if (!found.ok()) {
    co_return found.status();
  }
  auto scanning = dependencies_.reader.ScanMembers(group, *cursor, static_cast<size_t>(*page_size));
  const absl::StatusOr<MemberScan> scan = co_await std::move(scanning);
  co_await dependencies_.executor.Schedule();
  if (!scan.ok()) {
    co_return scan.status();
  }
  v1::ListMembersResponse response;
  for (const StoredMember& member : scan->members) {
    *response.add_members() = MemberMessage(member.person.value(), member.stay);
  }
  if (scan->next_cursor != 0) {
    response.set_next_page_token(page_tokens_.Make(scope, ScanCursorBytes(scan->next_cursor)));
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
