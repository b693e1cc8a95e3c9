#pragma once
// The logic of GroupService, and of ImportService's lists of members, without gRPC: checks requests, cuts bulk calls into chunks, has the log
// append them, waits where a removal was promised to be in force, and reads groups and members.
//
//   auto response = co_await groups.AddMembers(request, deadline);
//
// Thread safety: every method from any thread. Nothing blocks; a task continues on the executor
// after its first wait. Lifetime: what Dependencies names outlives this object, and this object
// outlives its tasks. Bounds: services/model/limits.h. A bulk call appends one chunk of
// limits::kMembersPerScript at a time. Errors: as group_service.proto and
// import_service.proto say. UNAVAILABLE with reason
// OUTCOME_UNKNOWN comes from the log as it is; with reason NOT_YET_IN_FORCE the change is
// committed.

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/executor.h"
#include "common/base/status.h"
#include "common/base/task.h"
#include "klatch/v1/group_service.pb.h"
#include "klatch/v1/import_service.pb.h"
#include "services/accept/admission.h"
#include "services/accept/barrier.h"
#include "services/groups/group_reader.h"
#include "services/groups/members_plan.h"
#include "services/groups/person_groups.h"
#include "services/log/appender.h"
#include "services/model/layout.h"
#include "services/model/limits.h"
#include "services/model/page_tokens.h"

namespace klatch {

class GroupCalls {
 public:
  struct Dependencies {
    Layout layout;
    Appender& appender;
    GroupReader& reader;
    const PersonGroups& person_groups;
    Barrier& barrier;
    const Admission& admission;
    base::Executor& executor;
    const base::Clock& clock;
    // The namespace's; signs page tokens.
    std::string cursor_key;
    // The least age that a group's retention may have.
    std::chrono::milliseconds keep_min{limits::kExpireMin};
  };

  explicit GroupCalls(Dependencies dependencies)
      : dependencies_(std::move(dependencies)),
        page_tokens_(dependencies_.layout.name, dependencies_.cursor_key) {}

  base::Task<absl::StatusOr<v1::CreateGroupResponse>> CreateGroup(v1::CreateGroupRequest request,
                                                                  base::MonotonicTime deadline);
  base::Task<absl::StatusOr<v1::GetGroupResponse>> GetGroup(v1::GetGroupRequest request,
                                                            base::MonotonicTime deadline);
  base::Task<absl::StatusOr<v1::UpdateGroupResponse>> UpdateGroup(v1::UpdateGroupRequest request,
                                                                  base::MonotonicTime deadline);
  base::Task<absl::StatusOr<v1::DeleteGroupResponse>> DeleteGroup(v1::DeleteGroupRequest request,
                                                                  base::MonotonicTime deadline);
  base::Task<absl::StatusOr<v1::AddMembersResponse>> AddMembers(v1::AddMembersRequest request,
                                                                base::MonotonicTime deadline);
  base::Task<absl::StatusOr<v1::RemoveMembersResponse>> RemoveMembers(
      v1::RemoveMembersRequest request, base::MonotonicTime deadline);
  base::Task<absl::StatusOr<v1::UpdateMemberResponse>> UpdateMember(v1::UpdateMemberRequest request,
                                                                    base::MonotonicTime deadline);
  // ImportService's, of a list that came whole and of one that came in parts.
  base::Task<absl::StatusOr<v1::SyncMembersResponse>> SyncMembers(v1::SyncMembersRequest request,
                                                                  base::MonotonicTime deadline);
  base::Task<absl::StatusOr<v1::SyncManyMembersResponse>> SyncManyMembers(
      v1::SyncMembersRequest request, base::MonotonicTime deadline);
  base::Task<absl::StatusOr<v1::ListMembersResponse>> ListMembers(v1::ListMembersRequest request,
                                                                  base::MonotonicTime deadline);
  base::Task<absl::StatusOr<v1::ListPersonGroupsResponse>> ListPersonGroups(
      v1::ListPersonGroupsRequest request, base::MonotonicTime deadline);

 private:
  // What a bulk call has come to: the chunks that are done, and why it broke off if not all are.
  struct Chunks {
    size_t all = 0;
    std::vector<Position> positions;  // of those that are done; zero where nobody changed
    Position last;
    uint32_t changed = 0;
    uint32_t unchanged = 0;
    absl::Status status;
  };

  // What a list of members has come to, and why it broke off if it did.
  struct Synced {
    v1::MembersDifference difference;
    Position last;
    size_t chunks_done = 0;
    absl::Status status;
  };

  // namespace and actor, which every request has.
  template <typename Request>
  absl::Status CheckCaller(const Request& request) const;

  // An active group. NOT_FOUND (`field`) also for a deleted one.
  base::Task<absl::StatusOr<v1::Group>> ReadActive(GroupId group, std::string field);
  // OK if the person is in the active group; NOT_FOUND ("group"), PERMISSION_DENIED ("actor").
  base::Task<absl::StatusOr<v1::Group>> ReadAsMember(GroupId group, PersonId actor);

  base::Task<absl::StatusOr<Synced>> Sync(v1::SyncMembersRequest request, size_t members_max,
                                          base::MonotonicTime deadline);
  // Tells `plan` who is there.
  base::Task<absl::Status> Compare(GroupId group, MembersPlan& plan, base::MonotonicTime deadline);
  base::Task<Synced> AppendPlan(MembersList list, const MembersPlan& plan, Position begun,
                                base::MonotonicTime deadline);

  template <typename Command>
  base::Task<Chunks> AppendChunks(std::vector<Command> commands, base::MonotonicTime deadline);
  base::Task<absl::StatusOr<MembersAppended>> AppendChunk(AddMembersCommand command);
  base::Task<absl::StatusOr<MembersAppended>> AppendChunk(RemoveMembersCommand command);

  const Dependencies dependencies_;
  const PageTokens page_tokens_;
};

}  // namespace klatch
