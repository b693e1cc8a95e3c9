#pragma once
// The logic of PersonService without gRPC: checks requests, has personal state written, and reads
// it.
//
//   auto response = co_await persons.BlockPerson(request, deadline);
//
// Thread safety: every method from any thread. Nothing blocks; a task continues on the executor
// after its first wait. Lifetime: what Dependencies names outlives this object, and this object
// outlives its tasks. Bounds: services/model/limits.h. Errors: as person_service.proto says, those
// of PersonalWrites, and UNAVAILABLE with reason NOT_OWNER if this node may not answer for the
// actor now, NOT_YET_IN_FORCE if what was written may still show.

#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/executor.h"
#include "common/base/status.h"
#include "common/base/task.h"
#include "common/redis/pipeline.h"
#include "klatch/v1/person_service.pb.h"
#include "services/accept/barrier.h"
#include "services/accept/update_reader.h"
#include "services/model/keys.h"
#include "services/model/layout.h"
#include "services/model/page_tokens.h"
#include "services/personal/personal_store.h"
#include "services/personal/personal_writes.h"
#include "services/personal/timeline_reader.h"
#include "services/persons/ownership.h"

namespace klatch {

class PersonCalls {
 public:
  struct Dependencies {
    Layout layout;
    const PersonalStore& store;
    PersonalWrites& writes;
    UpdateReader& visible;
    TimelineReader& timelines;
    Barrier& barrier;
    const Ownership& ownership;
    redis::Pipeline& redis;
    lockfree::EpochReclaimer& epochs;
    base::Executor& executor;
    const base::Clock& clock;
    // The namespace's; signs page tokens.
    std::string cursor_key;
  };

  explicit PersonCalls(Dependencies dependencies);

  template <typename Response>
  using Answer = base::Task<absl::StatusOr<Response>>;

  Answer<v1::BlockPersonResponse> BlockPerson(v1::BlockPersonRequest request,
                                              base::MonotonicTime deadline);
  Answer<v1::UnblockPersonResponse> UnblockPerson(v1::UnblockPersonRequest request,
                                                  base::MonotonicTime deadline);
  Answer<v1::ListBlocksResponse> ListBlocks(v1::ListBlocksRequest request,
                                            base::MonotonicTime deadline);
  Answer<v1::MutePersonResponse> MutePerson(v1::MutePersonRequest request,
                                            base::MonotonicTime deadline);
  Answer<v1::UnmutePersonResponse> UnmutePerson(v1::UnmutePersonRequest request,
                                                base::MonotonicTime deadline);
  Answer<v1::MuteGroupResponse> MuteGroup(v1::MuteGroupRequest request,
                                          base::MonotonicTime deadline);
  Answer<v1::UnmuteGroupResponse> UnmuteGroup(v1::UnmuteGroupRequest request,
                                              base::MonotonicTime deadline);
  Answer<v1::ListMutesResponse> ListMutes(v1::ListMutesRequest request,
                                          base::MonotonicTime deadline);
  Answer<v1::HideUpdateResponse> HideUpdate(v1::HideUpdateRequest request,
                                            base::MonotonicTime deadline);
  Answer<v1::UnhideUpdateResponse> UnhideUpdate(v1::UnhideUpdateRequest request,
                                                base::MonotonicTime deadline);
  Answer<v1::ListHiddenResponse> ListHidden(v1::ListHiddenRequest request,
                                            base::MonotonicTime deadline);
  Answer<v1::SetReadMarkerResponse> SetReadMarker(v1::SetReadMarkerRequest request,
                                                  base::MonotonicTime deadline);
  Answer<v1::GetReadMarkersResponse> GetReadMarkers(v1::GetReadMarkersRequest request,
                                                    base::MonotonicTime deadline);
  Answer<v1::GetUnreadCountsResponse> GetUnreadCounts(v1::GetUnreadCountsRequest request,
                                                      base::MonotonicTime deadline);
  Answer<v1::UpdateProfileResponse> UpdateProfile(v1::UpdateProfileRequest request,
                                                  base::MonotonicTime deadline);
  Answer<v1::GetProfileResponse> GetProfile(v1::GetProfileRequest request,
                                            base::MonotonicTime deadline);

 private:
  // namespace and actor, which every request has; NOT_OWNER.
  template <typename Request>
  absl::Status CheckCaller(const Request& request) const;
  absl::Status CheckOwner(const std::string& actor) const;

  // A write that took something away: answers when nothing that starts later shows it.
  template <typename Response>
  Answer<Response> AnswerInForce(base::Task<absl::Status> writing, base::MonotonicTime deadline);
  // A write that took nothing away.
  template <typename Response>
  static Answer<Response> AnswerWritten(base::Task<absl::Status> writing);

  // Calls look(const PersonalState&) on the actor's state of now; on an empty one if there is none.
  template <typename Look>
  auto WithState(const std::string& actor, Look look) const;

  // One per timeline; 0 where there is none.
  Answer<std::vector<UpdateId>> ReadMarkers(PersonId actor, std::vector<GroupId> timelines);
  // `timelines` and `markers` go together.
  Answer<v1::GetUnreadCountsResponse> CountEach(PersonId actor, std::vector<GroupId> timelines,
                                                std::vector<UpdateId> markers,
                                                base::MonotonicTime deadline);
  // Empty if there is none.
  Answer<v1::Profile> ReadProfile(PersonId person);

  const Dependencies d_;
  const Keys keys_;
  const PageTokens page_tokens_;
};

}  // namespace klatch
