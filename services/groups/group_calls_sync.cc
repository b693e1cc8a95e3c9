// Makes a group's members those of a list that an app brings: whoever reads the group's members first,
// then appends what differs, chunk by chunk. Each chunk is refused once a later list has begun.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/base/hash.h"
#include "common/base/invalid_field.h"
#include "services/accept/in_time.h"
#include "services/accept/validate.h"
#include "services/groups/group_calls.h"
#include "services/groups/group_message.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

constexpr size_t kClaimBytes = 8;

absl::Status CheckSync(const v1::SyncMembersRequest& request, size_t members_max,
                       const Layout& layout) {
  KLATCH_RETURN_IF_ERROR(CheckNamespace(request.namespace_(), layout));
  KLATCH_RETURN_IF_ERROR(CheckId(request.group(), "group"));
  if (request.version() == 0) {
    return base::InvalidField("version", "is missing");
  }
  KLATCH_RETURN_IF_ERROR(CheckMembers(request.members(), members_max));
  const bool has_owner = std::ranges::any_of(
      request.members(), [](const v1::Member& member) { return member.role() == v1::ROLE_OWNER; });
  return has_owner ? absl::OkStatus() : base::InvalidField("members", "has no owner");
}

// Counts and names persons of an answer, as many as it may name.
class Names {
 public:
  explicit Names(v1::MembersDifference& difference) : difference_(difference) {}

  void Add(const PersonId& person, MemberOutcome outcome) {
    switch (outcome) {
      case MemberOutcome::kNothing:
        return;
      case MemberOutcome::kJoined:
        difference_.set_added_count(difference_.added_count() + 1);
        return Name(person, *difference_.mutable_added());
      case MemberOutcome::kRoleChanged:
        difference_.set_role_changed_count(difference_.role_changed_count() + 1);
        return Name(person, *difference_.mutable_role_changed());
      case MemberOutcome::kLeft:
        difference_.set_removed_count(difference_.removed_count() + 1);
        return Name(person, *difference_.mutable_removed());
    }
  }

 private:
  void Name(const PersonId& person, google::protobuf::RepeatedPtrField<std::string>& list) {
    const size_t bytes = bytes_ + person.value().size();
    if (count_ == limits::kSyncNamedMax || bytes > limits::kSyncNamedBytesMax) {
      difference_.set_is_cut(true);
      return;
    }
    ++count_;
    bytes_ = bytes;
    *list.Add() = person.value();
  }

  v1::MembersDifference& difference_;
  size_t count_ = 0;
  size_t bytes_ = 0;
};

absl::Status AnnotateDone(const absl::Status& status, size_t done, size_t all) {
  if (all < 2) {
    return status;
  }
  return base::Annotate(
      status, fmt::format("{} of {} chunks of {} are done", done, all, limits::kMembersPerScript));
}

}  // namespace

base::Task<absl::Status> GroupCalls::Compare(GroupId group, MembersPlan& plan,
                                             base::MonotonicTime deadline) {
  uint64_t cursor = 0;
  do {
    auto scanning = dependencies_.reader.ScanMembers(group, cursor, limits::kSyncScanned);
    const absl::StatusOr<MemberScan> scan = co_await std::move(scanning);
    co_await dependencies_.executor.Schedule();
    if (!scan.ok()) {
      co_return scan.status();
    }
    for (const StoredMember& member : scan->members) {
      plan.NoteThere(member);
    }
    cursor = scan->next_cursor;
    const absl::Status in_time = CheckInTime(dependencies_.clock, deadline);
    if (!in_time.ok()) {
      co_return in_time;
    }
  } while (cursor != 0);
  co_return absl::OkStatus();
}

base::Task<GroupCalls::Synced> GroupCalls::AppendPlan(MembersList list, const MembersPlan& plan,
                                                      Position begun,
                                                      base::MonotonicTime deadline) {
  const std::vector<std::vector<PersonRole>> chunks = plan.Chunks();
  Synced synced;
  synced.last = begun;
  Names names(synced.difference);
  for (const std::vector<PersonRole>& chunk : chunks) {
    const absl::Status in_time = CheckInTime(dependencies_.clock, deadline);
    if (!in_time.ok()) {
      synced.status = AnnotateDone(in_time, synced.chunks_done, chunks.size());
      break;
    }
    auto appending = dependencies_.appender.SyncMembers(list, chunk);
    const absl::StatusOr<MembersSynced> appended = co_await std::move(appending);
    co_await dependencies_.executor.Schedule();
    if (!appended.ok()) {
      synced.status = AnnotateDone(appended.status(), synced.chunks_done, chunks.size());
      break;
    }
    ++synced.chunks_done;
    synced.last = std::max(synced.last, appended->position);
    for (size_t i = 0; i < chunk.size(); ++i) {
      names.Add(chunk[i].person, appended->outcomes[i]);
    }
  }
  co_return synced;
}

base::Task<absl::StatusOr<GroupCalls::Synced>> GroupCalls::Sync(v1::SyncMembersRequest request,
                                                                size_t members_max,
                                                                base::MonotonicTime deadline) {
  absl::Status status = CheckSync(request, members_max, dependencies_.layout);
  if (!status.ok()) {
    co_return status;
  }
  MembersPlan plan(request.members());
  const MembersList list{GroupId(request.group()), request.version(), plan.Digest(),
                         base::RandomBytes(kClaimBytes)};
  auto beginning = dependencies_.appender.BeginSync(list);
  const absl::StatusOr<Appended> begun = co_await std::move(beginning);
  co_await dependencies_.executor.Schedule();
  if (!begun.ok()) {
    co_return begun.status();
  }
  auto comparing = Compare(list.group, plan, deadline);
  status = co_await std::move(comparing);
  // Who only takes away is never held back.
  if (const std::vector<std::string_view> joining = plan.Joining(); !joining.empty()) {
    status.Update(dependencies_.admission.AdmitMembers(joining, "members"));
    status.Update(dependencies_.admission.Admit());
  }
  if (!status.ok()) {
    co_return status;
  }
  auto appending = AppendPlan(list, plan, begun->position, deadline);
  Synced synced = co_await std::move(appending);
  if (!synced.status.ok() && synced.chunks_done == 0) {
    co_return synced.status;
  }
  // Also of a call that broke off: what its error says is done is in force. And also if there was
  // nothing to do, since an earlier call may have ended before that.
  auto waiting = WaitInForce(dependencies_.barrier, synced.last, deadline);
  status = co_await std::move(waiting);
  if (!status.ok() || !synced.status.ok()) {
    co_return status.ok() ? synced.status : status;
  }
  co_return synced;
}

base::Task<absl::StatusOr<v1::SyncMembersResponse>> GroupCalls::SyncMembers(
    v1::SyncMembersRequest request, base::MonotonicTime deadline) {
  auto syncing = Sync(std::move(request), limits::kMembersPerCallMax, deadline);
  absl::StatusOr<Synced> synced = co_await std::move(syncing);
  if (!synced.ok()) {
    co_return synced.status();
  }
  v1::SyncMembersResponse response;
  *response.mutable_difference() = std::move(synced->difference);
  *response.add_tokens() = TokenMessage(synced->last);
  co_return response;
}

base::Task<absl::StatusOr<v1::SyncManyMembersResponse>> GroupCalls::SyncManyMembers(
    v1::SyncMembersRequest request, base::MonotonicTime deadline) {
  // A large list takes a while to be looked at: not on gRPC's thread.
  co_await dependencies_.executor.Schedule();
  auto syncing = Sync(std::move(request), limits::kSyncMembersMax, deadline);
  absl::StatusOr<Synced> synced = co_await std::move(syncing);
  if (!synced.ok()) {
    co_return synced.status();
  }
  v1::SyncManyMembersResponse response;
  *response.mutable_difference() = std::move(synced->difference);
  *response.add_tokens() = TokenMessage(synced->last);
  co_return response;
}

}  // namespace klatch
