#include "services/personal/person_calls.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "common/base/decimal.h"
#include "services/accept/validate.h"
#include "services/model/limits.h"
#include "services/personal/person_calls_internal.h"
#include "services/personal/person_checks.h"

namespace klatch {
namespace {

constexpr char kBlocksList[] = "blocks";
constexpr char kHiddenList[] = "hidden";

absl::StatusOr<std::string> ReadPageToken(const PageTokens& tokens, const PageTokens::Scope& scope,
                                          const std::string& token) {
  return token.empty() ? absl::StatusOr<std::string>(std::string()) : tokens.Read(scope, token);
}

}  // namespace

PersonCalls::PersonCalls(Dependencies dependencies)
    : d_(std::move(dependencies)), keys_(d_.layout), page_tokens_(d_.layout.name, d_.cursor_key) {}

absl::Status PersonCalls::CheckOwner(const std::string& actor) const {
  return d_.ownership.Holds(d_.layout.PartitionOf(PersonId(actor)), d_.clock.Monotonic())
             ? absl::OkStatus()
             : NotOwner("this node may not answer for the actor now");
}

template <typename Look>
auto PersonCalls::WithState(const std::string& actor, Look look) const {
  static const PersonalState empty;
  const lockfree::EpochReclaimer::Guard guard(d_.epochs);
  const PersonalState* state = d_.store.Find(actor, guard);
  return look(state == nullptr ? empty : *state);
}

template <typename Response>
PersonCalls::Answer<Response> PersonCalls::AnswerInForce(base::Task<absl::Status> writing,
                                                         base::MonotonicTime deadline) {
  absl::Status status = co_await std::move(writing);
  if (!status.ok()) {
    co_return status;
  }
  auto waiting = WaitInForce(d_.barrier, std::vector<Token>(), deadline);
  status = co_await std::move(waiting);
  if (!status.ok()) {
    co_return status;
  }
  co_return Response();
}

template <typename Response>
PersonCalls::Answer<Response> PersonCalls::AnswerWritten(base::Task<absl::Status> writing) {
  const absl::Status status = co_await std::move(writing);
  if (!status.ok()) {
    co_return status;
  }
  co_return Response();
}

PersonCalls::Answer<v1::BlockPersonResponse> PersonCalls::BlockPerson(
    v1::BlockPersonRequest request, base::MonotonicTime deadline) {
  absl::Status status = CheckCaller(request);
  status.Update(CheckOther(request.person(), request.actor()));
  if (!status.ok()) {
    return Refused<v1::BlockPersonResponse>(std::move(status));
  }
  return AnswerInForce<v1::BlockPersonResponse>(
      d_.writes.Block(PersonId(request.actor()), PersonId(request.person()), deadline), deadline);
}

PersonCalls::Answer<v1::UnblockPersonResponse> PersonCalls::UnblockPerson(
    v1::UnblockPersonRequest request, base::MonotonicTime deadline) {
  absl::Status status = CheckCaller(request);
  status.Update(CheckOther(request.person(), request.actor()));
  if (!status.ok()) {
    return Refused<v1::UnblockPersonResponse>(std::move(status));
  }
  return AnswerWritten<v1::UnblockPersonResponse>(
      d_.writes.Unblock(PersonId(request.actor()), PersonId(request.person()), deadline));
}

PersonCalls::Answer<v1::MutePersonResponse> PersonCalls::MutePerson(v1::MutePersonRequest request,
                                                                    base::MonotonicTime deadline) {
  absl::Status status = CheckCaller(request);
  status.Update(CheckOther(request.person(), request.actor()));
  if (!status.ok()) {
    return Refused<v1::MutePersonResponse>(std::move(status));
  }
  return AnswerInForce<v1::MutePersonResponse>(
      d_.writes.Mute(PersonId(request.actor()), PersonId(request.person()), deadline), deadline);
}

PersonCalls::Answer<v1::UnmutePersonResponse> PersonCalls::UnmutePerson(
    v1::UnmutePersonRequest request, base::MonotonicTime deadline) {
  absl::Status status = CheckCaller(request);
  status.Update(CheckOther(request.person(), request.actor()));
  if (!status.ok()) {
    return Refused<v1::UnmutePersonResponse>(std::move(status));
  }
  return AnswerWritten<v1::UnmutePersonResponse>(
      d_.writes.Unmute(PersonId(request.actor()), PersonId(request.person()), deadline));
}

PersonCalls::Answer<v1::MuteGroupResponse> PersonCalls::MuteGroup(v1::MuteGroupRequest request,
                                                                  base::MonotonicTime deadline) {
  absl::Status status = CheckCaller(request);
  status.Update(CheckId(request.group(), "group"));
  if (!status.ok()) {
    return Refused<v1::MuteGroupResponse>(std::move(status));
  }
  return AnswerInForce<v1::MuteGroupResponse>(
      d_.writes.MuteGroup(PersonId(request.actor()), GroupId(request.group()), deadline), deadline);
}

PersonCalls::Answer<v1::UnmuteGroupResponse> PersonCalls::UnmuteGroup(
    v1::UnmuteGroupRequest request, base::MonotonicTime deadline) {
  absl::Status status = CheckCaller(request);
  status.Update(CheckId(request.group(), "group"));
  if (!status.ok()) {
    return Refused<v1::UnmuteGroupResponse>(std::move(status));
  }
  return AnswerWritten<v1::UnmuteGroupResponse>(
      d_.writes.UnmuteGroup(PersonId(request.actor()), GroupId(request.group()), deadline));
}

PersonCalls::Answer<v1::ListBlocksResponse> PersonCalls::ListBlocks(
    v1::ListBlocksRequest request, base::MonotonicTime /*deadline*/) {
  const absl::Status caller = CheckCaller(request);
  if (!caller.ok()) {
    co_return caller;
  }
  const absl::StatusOr<int> page_size =
      CheckPageSize(request.page_size(), limits::kMembersPageDefault, limits::kMembersPageMax);
  if (!page_size.ok()) {
    co_return page_size.status();
  }
  const PageTokens::Scope scope{kBlocksList, request.actor()};
  const absl::StatusOr<std::string> after =
      ReadPageToken(page_tokens_, scope, request.page_token());
  if (!after.ok()) {
    co_return after.status();
  }
  // One more than shown tells whether there is a next page.
  const auto shown_max = static_cast<size_t>(*page_size);
  const std::vector<std::string> persons = WithState(
      request.actor(),
      [&](const PersonalState& state) { return state.blocks.Above(*after, shown_max + 1); });
  v1::ListBlocksResponse response;
  for (size_t i = 0; i < std::min(shown_max, persons.size()); ++i) {
    response.add_persons(persons[i]);
  }
  if (persons.size() > shown_max) {
    response.set_next_page_token(page_tokens_.Make(scope, persons[shown_max - 1]));
  }
  const absl::Status owner = CheckOwner(request.actor());
  if (!owner.ok()) {
    co_return owner;
  }
  co_return response;
}

PersonCalls::Answer<v1::ListMutesResponse> PersonCalls::ListMutes(
    v1::ListMutesRequest request, base::MonotonicTime /*deadline*/) {
  const absl::Status caller = CheckCaller(request);
  if (!caller.ok()) {
    co_return caller;
  }
  v1::ListMutesResponse response;
  WithState(request.actor(), [&response](const PersonalState& state) {
    for (std::string& person : state.muted_persons.Above("", limits::kMutesMax)) {
      response.add_persons(std::move(person));
    }
    for (std::string& group : state.muted_groups.Above("", limits::kMutesMax)) {
      response.add_groups(std::move(group));
    }
  });
  const absl::Status owner = CheckOwner(request.actor());
  if (!owner.ok()) {
    co_return owner;
  }
  co_return response;
}

PersonCalls::Answer<v1::HideUpdateResponse> PersonCalls::HideUpdate(v1::HideUpdateRequest request,
                                                                    base::MonotonicTime deadline) {
  absl::Status status = CheckCaller(request);
  status.Update(CheckUpdateId(request.update_id(), "update_id"));
  if (!status.ok()) {
    co_return status;
  }
  const PersonId actor(request.actor());
  const UpdateId update(request.update_id());
  auto finding = d_.visible.FindVisible(actor, update, deadline);
  const absl::StatusOr<std::shared_ptr<const Body>> body = co_await std::move(finding);
  co_await d_.executor.Schedule();
  if (!body.ok()) {
    co_return body.status();
  }
  if ((*body)->header().author == actor) {
    co_return base::FieldError(absl::StatusCode::kFailedPrecondition, "update_id",
                               "is the actor's own, which authors always see");
  }
  auto hiding =
      AnswerInForce<v1::HideUpdateResponse>(d_.writes.Hide(actor, update, deadline), deadline);
  co_return co_await std::move(hiding);
}

PersonCalls::Answer<v1::UnhideUpdateResponse> PersonCalls::UnhideUpdate(
    v1::UnhideUpdateRequest request, base::MonotonicTime deadline) {
  absl::Status status = CheckCaller(request);
  status.Update(CheckUpdateId(request.update_id(), "update_id"));
  if (!status.ok()) {
    return Refused<v1::UnhideUpdateResponse>(std::move(status));
  }
  return AnswerWritten<v1::UnhideUpdateResponse>(
      d_.writes.Unhide(PersonId(request.actor()), UpdateId(request.update_id()), deadline));
}

PersonCalls::Answer<v1::ListHiddenResponse> PersonCalls::ListHidden(
    v1::ListHiddenRequest request, base::MonotonicTime /*deadline*/) {
  const absl::Status caller = CheckCaller(request);
  if (!caller.ok()) {
    co_return caller;
  }
  const absl::StatusOr<int> page_size =
      CheckPageSize(request.page_size(), limits::kMembersPageDefault, limits::kMembersPageMax);
  if (!page_size.ok()) {
    co_return page_size.status();
  }
  const PageTokens::Scope scope{kHiddenList, request.actor()};
  const absl::StatusOr<std::string> token =
      ReadPageToken(page_tokens_, scope, request.page_token());
  if (!token.ok()) {
    co_return token.status();
  }
  const UpdateId below(token->empty() ? std::numeric_limits<uint64_t>::max()
                                      : base::ParseDecimal(*token).value_or(0));
  v1::ListHiddenResponse response;
  const bool more = WithState(request.actor(), [&](const PersonalState& state) {
    auto end = std::ranges::lower_bound(state.hidden, below);
    while (end != state.hidden.begin() && response.update_ids_size() < *page_size) {
      response.add_update_ids((--end)->value());
    }
    return end != state.hidden.begin();
  });
  if (more) {
    const uint64_t last = response.update_ids(response.update_ids_size() - 1);
    response.set_next_page_token(page_tokens_.Make(scope, std::to_string(last)));
  }
  const absl::Status owner = CheckOwner(request.actor());
  if (!owner.ok()) {
    co_return owner;
  }
  co_return response;
}

}  // namespace klatch
