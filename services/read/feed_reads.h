#pragma once
// Reading: home, group and profile pages, and single updates, as the owner of the viewer's
// partition sees them. A page is merged from the ring in memory and what is stored, authorised by
// may_see, hydrated, and says how complete it is.
//
//   // A serialised ListHomeTimelineResponse.
//   auto page = co_await reads.ListHome(request, deadline);
//
// Thread safety: every method from any thread. Nothing blocks; a task continues on the executor.
// Lifetime: what Dependencies names outlives this object, and this object outlives its tasks.
// Bounds: limits::kPageSizeMax updates and limits::kPageBytesMax bytes per page,
// limits::kExaminedMax ids examined per call, limits::kTimelineCap newest ids of a timeline.
// Errors: INVALID_ARGUMENT with the field at fault; NOT_FOUND ("group", "update_id");
// PERMISSION_DENIED ("actor"); DEADLINE_EXCEEDED if the tokens are not applied in time; UNAVAILABLE
// with reason NOT_OWNER if this node may not answer for the viewer, and when Redis can't be asked.

#include <grpcpp/support/byte_buffer.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/executor.h"
#include "common/base/status.h"
#include "common/base/task.h"
#include "common/redis/pipeline.h"
#include "klatch/v1/feed_service.pb.h"
#include "services/accept/update_reader.h"
#include "services/deliver/progress.h"
#include "services/log/bodies.h"
#include "services/log/body_store.h"
#include "services/log/group_store.h"
#include "services/model/keys.h"
#include "services/model/layout.h"
#include "services/model/limits.h"
#include "services/model/watch_tokens.h"
#include "services/personal/personal_store.h"
#include "services/personal/timeline_reader.h"
#include "services/persons/group_directory.h"
#include "services/persons/ownership.h"
#include "services/persons/people.h"
#include "services/read/applied_prefix.h"
#include "services/read/cursor.h"
#include "services/read/home_source.h"
#include "services/read/hydrator.h"
#include "services/read/page.h"
#include "services/read/timeline_source.h"
#include "services/read/viewer.h"

namespace klatch {

class FeedReads final : public UpdateReader, public TimelineReader {
 public:
  struct Dependencies {
    Layout layout;
    People& people;
    const PersonalStore& personal;
    const GroupDirectory& groups;
    BodyStore& bodies;
    Progress& progress;
    const Ownership& ownership;
    redis::Pipeline& redis;
    base::Executor& executor;
    const base::Clock& clock;
    // The namespace's; signs page tokens.
    std::string cursor_key;
    // How long updates are kept, counted from posting; the same as the appender's.
    std::chrono::milliseconds body_retention{limits::kBodyRetention};
    // Shards not heard from for longer are named on pages.
    std::chrono::milliseconds stale_limit{2'000};
  };

  explicit FeedReads(Dependencies dependencies);
  ~FeedReads() override;
  FeedReads(const FeedReads&) = delete;
  FeedReads& operator=(const FeedReads&) = delete;

  // Serialised ListHomeTimelineResponse, ListGroupTimelineResponse, ListProfileTimelineResponse.
  // A person that nobody knows has an empty home and an empty profile.
  base::Task<absl::StatusOr<grpc::ByteBuffer>> ListHome(klatch::v1::ListHomeTimelineRequest request,
                                                        base::MonotonicTime deadline);
  base::Task<absl::StatusOr<grpc::ByteBuffer>> ListGroup(
      klatch::v1::ListGroupTimelineRequest request, base::MonotonicTime deadline);
  base::Task<absl::StatusOr<grpc::ByteBuffer>> ListProfile(
      klatch::v1::ListProfileTimelineRequest request, base::MonotonicTime deadline);

  // NOT_FOUND ("update_id") if it does not exist or the actor may not see it. An update that stands
  // in the log but is not applied here yet is waited for, in all groups that took it.
  base::Task<absl::StatusOr<klatch::v1::GetUpdateResponse>> GetUpdate(
      klatch::v1::GetUpdateRequest request, base::MonotonicTime deadline);

  // For checks of replies and reshares.
  base::Task<absl::StatusOr<std::shared_ptr<const Body>>> FindVisible(
      PersonId viewer, UpdateId update, base::MonotonicTime deadline) override;

  // For read markers (unread.cc).
  base::Task<absl::StatusOr<Unread>> CountUnread(PersonId viewer, GroupId group, UpdateId above,
                                                 size_t examined_max) override;
  base::Task<absl::StatusOr<UpdateId>> PlaceMarker(PersonId viewer, GroupId group,
                                                   std::optional<UpdateId> update) override;

  // Stored updates that pages passed over because they can't be decoded. A counter; any thread.
  uint64_t undecodable_bodies() const { return stored_.undecodable(); }
  // Home timelines that feeds were asked for. A counter; any thread.
  uint64_t pulled_reads() const { return homes_.pulled_reads(); }

 private:
  // A checked request for a page.
  struct Query {
    PageScope scope;
    size_t page_size = 0;
    UpdateId below;
    std::vector<Token> tokens;
    base::MonotonicTime deadline;
    // The first page of a home timeline says from where on to watch it.
    bool is_watchable = false;
  };

  template <typename Request>
  absl::StatusOr<Query> Check(const Request& request, PageScope scope,
                              base::MonotonicTime deadline) const;

  // The way of every page, step by step.
  base::Task<absl::StatusOr<grpc::ByteBuffer>> ReadPage(absl::StatusOr<Query> checked);
  // Moves on down `ids` until the page is full, they end, or the bound on examined ids is reached.
  // `viewer` and `page` are the caller's, who awaits this.
  base::Task<absl::Status> Examine(std::vector<UpdateId> ids, const Viewer& viewer, Page& page);

  // Whether this node may answer this now: ownership of the viewer, membership for a group's page.
  // Asked before a page is built and again before it is sent.
  absl::Status MayAnswer(const PageScope& scope, const Viewer& viewer) const;
  // What to answer who may not be answered, as MayAnswer found it: memory doesn't know which groups
  // are deleted, nor all that exist.
  base::Task<absl::Status> RefusalOf(PageScope scope, absl::Status found);
  absl::Status CheckOwner(const PersonId& viewer) const;
  // How far what a page of the scope is judged by is applied: all of it for others' timelines, the
  // viewer's own worker for their home.
  AppliedPrefix PrefixOf(const PageScope& scope) const;
  // `applied` outlives the viewer.
  Viewer ViewerOf(PersonId id, Surface surface, const AppliedPrefix& applied) const;
  Viewer ViewerOf(const PageScope& scope, const AppliedPrefix& applied) const;

  std::unique_ptr<TimelineSource> Open(const PageScope& scope, const AppliedPrefix& applied);
  // The shards whose records can put updates on the page; none if the viewer is in no group.
  std::vector<ShardIndex> ShardsOf(const PageScope& scope, const Viewer& viewer) const;
  // A profile of somebody with a block between them: the viewer is told what a person that nobody
  // knows has, not even that something is withheld.
  bool IsBlockedProfile(const PageScope& scope, const Viewer& viewer) const;
  // "Hole since" of the timeline, as the viewer may know it, or 0.
  uint64_t HoleOf(const PageScope& scope, const Viewer& viewer) const;
  // A token to watch from behind `applied` and the ids of `timeline`; none if those are too many.
  std::string WatchTokenOf(const PersonId& viewer, const AppliedPrefix& applied,
                           const TimelineIds& timeline, const Page& page) const;

  // The timeline's ids down to `above` at least. `source` is the caller's, who awaits this.
  base::Task<absl::StatusOr<Candidates>> ReadDownTo(TimelineSource& source, UpdateId above);
  // How many of `ids` the viewer may see and has not posted. `viewer` is the caller's, who awaits
  // this.
  base::Task<absl::StatusOr<uint32_t>> CountOthersVisible(std::vector<UpdateId> ids,
                                                          const Viewer& viewer);

  base::Task<absl::StatusOr<PageEntry>> FindEntry(PersonId viewer, UpdateId id,
                                                  base::MonotonicTime deadline);

  const Dependencies d_;
  const Keys keys_;
  const Cursor cursor_;
  const WatchTokens watch_tokens_;
  Bodies stored_;
  Hydrator hydrator_;
  HomeSources homes_;
  GroupStore group_store_;
};

}  // namespace klatch
