#pragma once
// The logic of AdminService without gRPC.
//
//   auto response = co_await admin.GetStatus(request, deadline);
//
// Thread safety: every method from any thread. Nothing blocks; a task continues on the executor after
// its first wait. Lifetime: what Dependencies names outlives this object, and this object outlives its
// tasks. Bounds: services/model/limits.h, "Administration". Errors: as admin_service.proto says, and
// UNAVAILABLE with reason NOT_OWNER if this node may not answer for a person now.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/executor.h"
#include "common/base/status.h"
#include "common/base/task.h"
#include "common/redis/pipeline.h"
#include "klatch/v1/admin_service.pb.h"
#include "services/admin/log_pages.h"
#include "services/admin/node_view.h"
#include "services/admin/polls.h"
#include "services/admin/scrub_compare.h"
#include "services/admin/scrub_reader.h"
#include "services/deliver/progress.h"
#include "services/log/bodies.h"
#include "services/model/keys.h"
#include "services/model/layout.h"
#include "services/model/page_tokens.h"
#include "services/persons/group_directory.h"
#include "services/persons/ownership.h"
#include "services/persons/people.h"

namespace klatch {

class AdminCalls {
 public:
  struct Dependencies {
    Layout layout;
    NodeView& node;
    People& people;
    const GroupDirectory& groups;
    Progress& progress;
    const Ownership& ownership;
    redis::Pipeline& redis;
    Bodies& bodies;
    base::Executor& executor;
    const base::Clock& clock;
    // The namespace's; signs page tokens.
    std::string cursor_key;
  };

  explicit AdminCalls(Dependencies dependencies);

  template <typename Response>
  using Answer = base::Task<absl::StatusOr<Response>>;

  Answer<v1::GetStatusResponse> GetStatus(v1::GetStatusRequest request,
                                          base::MonotonicTime deadline);
  Answer<v1::RebuildTimelinesResponse> RebuildTimelines(v1::RebuildTimelinesRequest request,
                                                        base::MonotonicTime deadline);
  Answer<v1::ScrubTimelinesResponse> ScrubTimelines(v1::ScrubTimelinesRequest request,
                                                    base::MonotonicTime deadline);
  Answer<v1::ReadLogResponse> ReadLog(v1::ReadLogRequest request, base::MonotonicTime deadline);

  // Ends all waits; for a node that stops.
  void Stop() { polls_.Stop(); }

 private:
  // Where a scrub goes on. Persons are counted by their place in the request, or by their index.
  struct ScrubCursor {
    uint32_t first = 0;  // the persons under way, [first, end); end 0: not chosen yet
    uint32_t end = 0;
    uint32_t shard = 0;  // and the groups that they are still to be compared with
    uint64_t scan = 0;
  };
  // A person whose rebuild was asked for.
  struct Rebuilding {
    const Person* person;
    uint64_t generation;  // from before
  };

  absl::Status CheckOwner(PartitionIndex partition) const;
  PartitionIndex PartitionOf(const Person& person) const { return person.partition; }

  base::Task<absl::Status> AddBodies(v1::ReadLogResponse& response);

  // Asks for the rebuilds that `mends` name, person by person, and for their being written.
  std::vector<Rebuilding> Order(const std::vector<const Person*>& persons, std::vector<Mend> mends);
  static bool IsMended(const Rebuilding& rebuilding);
  // Until all are mended, or `deadline`.
  base::Task<absl::Status> AwaitMended(std::vector<Rebuilding> rebuildings,
                                       base::MonotonicTime deadline);

  // Everything that is applied now is written when it returns: those positions.
  base::Task<absl::StatusOr<std::vector<Position>>> Settle(base::MonotonicTime deadline);
  // The same for everything that is in the log now.
  base::Task<absl::StatusOr<std::vector<Position>>> SettleLog(base::MonotonicTime deadline);

  absl::StatusOr<ScrubCursor> ReadScrubToken(const v1::ScrubTimelinesRequest& request) const;
  PageTokens::Scope ScrubScope(const v1::ScrubTimelinesRequest& request) const;
  std::string ScrubToken(const v1::ScrubTimelinesRequest& request, const ScrubCursor& cursor) const;
  // The persons of the request at the cursor, whose end is chosen if it is not yet.
  absl::StatusOr<std::vector<const Person*>> ScrubbedPersons(
      const v1::ScrubTimelinesRequest& request, ScrubCursor& cursor) const;
  // How many of `persons` from the first on have not too many groups together; at least one.
  size_t Bunch(const std::vector<const Person*>& persons) const;
  // Some of the shard's groups from the cursor on, which is 0 behind the last.
  base::Task<absl::StatusOr<std::vector<GroupId>>> ScanGroups(ShardIndex shard, uint64_t& cursor);
  // Groups from the cursor on, which moves behind them; its shard is the shard count at the end.
  base::Task<absl::StatusOr<std::vector<GroupId>>> NextGroups(ScrubCursor& cursor);
  base::Task<absl::StatusOr<std::vector<Found>>> FindTwice(std::vector<const Person*> persons,
                                                           bool own_lists,
                                                           std::vector<GroupId> groups,
                                                           base::MonotonicTime deadline);
  // The members of these groups of whom their own lists don't know, seen twice.
  Answer<v1::ScrubTimelinesResponse> ScrubMembers(v1::ScrubTimelinesRequest request,
                                                  ScrubCursor cursor, base::MonotonicTime deadline);
  base::Task<absl::Status> ScrubUnknown(std::vector<ScrubReader::UnknownMember> unknown,
                                        bool repair, v1::ScrubTimelinesResponse& response,
                                        base::MonotonicTime deadline);
  base::Task<absl::Status> Repair(const std::vector<const Person*>& persons,
                                  std::vector<Found>& found, base::MonotonicTime deadline);

  const Dependencies d_;
  const Keys keys_;
  const PageTokens page_tokens_;
  // Indexes of persons mean nothing to another run of the node, so tokens are of one.
  const std::string run_;
  LogPages log_pages_;
  ScrubReader reader_;
  Polls polls_;
};

}  // namespace klatch
