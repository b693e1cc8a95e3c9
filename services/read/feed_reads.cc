#include "services/read/feed_reads.h"

#include <algorithm>
#include <utility>

#include "services/accept/validate.h"
#include "services/model/limits.h"
#include "services/read/completeness.h"
#include "services/read/page_writer.h"

namespace klatch {
namespace {

// Bodies asked for at once at least, so that a page among many updates that the viewer may not see
// doesn't take one round trip for each.
constexpr size_t kExaminedPerStepMin = 50;

absl::Status NoSuchUpdate() {
  return base::FieldError(absl::StatusCode::kNotFound, "update_id",
                          "names no update that the actor can see");
}

absl::Status NotMember() {
  return base::FieldError(absl::StatusCode::kPermissionDenied, "actor",
                          "is not a member of the group");
}

// Adds to the page what the viewer may see of a batch, until it is full. `bodies` are those of
// `ids`; `gone`: which of these are kept no longer.
void AddVisible(std::span<const UpdateId> ids, Hydrator::Found bodies,
                const std::vector<UpdateId>& gone, const Viewer& viewer, Page& page) {
  std::vector<PageEntry> batch;
  batch.reserve(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    batch.push_back(PageEntry{ids[i], std::move(bodies[i])});
  }
  const std::vector<Visibility> verdicts = viewer.Judge(batch);
  for (size_t i = 0; i < batch.size() && !page.IsFull(); ++i) {
    if (verdicts[i] == Visibility::kVisible) {
      const size_t bytes = BytesOnPage(batch[i]);
      if (!page.entries.empty() && page.bytes + bytes > limits::kPageBytesMax) {
        page.out_of_bytes = true;
        return;
      }
      page.bytes += bytes;
      page.entries.push_back(std::move(batch[i]));
    } else if (verdicts[i] == Visibility::kExpired ||
               std::ranges::find(gone, ids[i]) != gone.end()) {
      page.expired = true;
    }
    page.below = ids[i];
    ++page.examined;
  }
}

}  // namespace

FeedReads::FeedReads(Dependencies dependencies)
    : d_(std::move(dependencies)),
      keys_(d_.layout),
      cursor_(d_.layout.name, d_.cursor_key),
      watch_tokens_(d_.layout, d_.cursor_key),
      stored_(d_.redis, d_.layout),
      hydrator_(d_.bodies, stored_, d_.executor),
      homes_(d_.layout, d_.people, d_.groups, d_.redis, stored_, d_.clock),
      group_store_(d_.redis, d_.layout) {}

FeedReads::~FeedReads() = default;

template <typename Request>
absl::StatusOr<FeedReads::Query> FeedReads::Check(const Request& request, PageScope scope,
                                                  base::MonotonicTime deadline) const {
  KLATCH_RETURN_IF_ERROR(CheckNamespace(request.namespace_(), d_.layout));
  KLATCH_RETURN_IF_ERROR(CheckId(request.actor(), "actor"));
  if (scope.kind != PageKind::kHome) {
    KLATCH_RETURN_IF_ERROR(
        CheckId(scope.subject, scope.kind == PageKind::kGroup ? "group" : "person"));
  }
  KLATCH_ASSIGN_OR_RETURN(
      const int page_size,
      CheckPageSize(request.page_size(), limits::kPageSizeDefault, limits::kPageSizeMax));
  KLATCH_ASSIGN_OR_RETURN(std::vector<Token> tokens, CheckTokens(request.tokens(), d_.layout));
  KLATCH_ASSIGN_OR_RETURN(const UpdateId below, cursor_.Read(scope, request.page_token()));
  const bool is_watchable = scope.kind == PageKind::kHome && request.page_token().empty();
  return Query{.scope = std::move(scope),
               .page_size = static_cast<size_t>(page_size),
               .below = below,
               .tokens = std::move(tokens),
               .deadline = deadline,
               .is_watchable = is_watchable};
}

base::Task<absl::StatusOr<grpc::ByteBuffer>> FeedReads::ListHome(
    klatch::v1::ListHomeTimelineRequest request, base::MonotonicTime deadline) {
  PageScope scope{PageKind::kHome, PersonId(request.actor()), ""};
  return ReadPage(Check(request, std::move(scope), deadline));
}

base::Task<absl::StatusOr<grpc::ByteBuffer>> FeedReads::ListGroup(
    klatch::v1::ListGroupTimelineRequest request, base::MonotonicTime deadline) {
  PageScope scope{PageKind::kGroup, PersonId(request.actor()), request.group()};
  return ReadPage(Check(request, std::move(scope), deadline));
}

base::Task<absl::StatusOr<grpc::ByteBuffer>> FeedReads::ListProfile(
    klatch::v1::ListProfileTimelineRequest request, base::MonotonicTime deadline) {
  PageScope scope{PageKind::kProfile, PersonId(request.actor()), request.person()};
  return ReadPage(Check(request, std::move(scope), deadline));
}

base::Task<absl::StatusOr<grpc::ByteBuffer>> FeedReads::ReadPage(absl::StatusOr<Query> checked) {
  if (!checked.ok()) {
    co_return checked.status();
  }
  const Query query = *std::move(checked);

  // 1. Wait until what the caller has seen elsewhere is applied here.
  base::Task<absl::Status> applying = d_.progress.WaitApplied(query.tokens, query.deadline);
  const absl::Status waited = co_await std::move(applying);
  if (!waited.ok()) {
    co_return waited;
  }

  // 2. Note how far this node is. Memberships that are loaded from here on are at least as new.
  const AppliedPrefix applied(d_.progress, d_.layout.shard_count);
  const AppliedPrefix seen = PrefixOf(query.scope);
  const Viewer viewer = ViewerOf(query.scope, seen);
  absl::Status may_answer = MayAnswer(query.scope, viewer);
  if (!may_answer.ok()) {
    base::Task<absl::Status> refusing = RefusalOf(query.scope, std::move(may_answer));
    co_return co_await std::move(refusing);
  }
  const std::vector<ShardIndex> shards = ShardsOf(query.scope, viewer);
  for (ShardIndex shard : shards) {
    d_.progress.NoteRead(shard);
  }
  klatch::v1::Completeness completeness =
      CompletenessOf(shards, applied, d_.progress, d_.clock, d_.stale_limit);
  const uint64_t hole_before = HoleOf(query.scope, viewer);

  // 3. Memory first; what it can't fill comes from what is stored, asked for after memory was
  //    copied. Who is in no group sees nothing, so nothing is looked at.
  Page page;
  page.size_max = query.page_size;
  page.below = query.below;
  page.is_for_others =
      query.scope.kind == PageKind::kProfile && query.scope.subject != query.scope.viewer.value();
  Candidates candidates;
  if (!shards.empty() && !IsBlockedProfile(query.scope, viewer)) {
    const std::unique_ptr<TimelineSource> source = Open(query.scope, seen);
    candidates = source->InMemory();
    base::Task<absl::Status> examining = Examine(candidates.timeline.ids, viewer, page);
    absl::Status examined = co_await std::move(examining);
    if (examined.ok() && candidates.older_stored && !page.IsFull()) {
      base::Task<absl::StatusOr<Candidates>> asking = source->All();
      absl::StatusOr<Candidates> all = co_await std::move(asking);
      co_await d_.executor.Schedule();
      if (!all.ok()) {
        co_return base::Annotate(all.status(), "read the stored timeline");
      }
      candidates = *std::move(all);
      base::Task<absl::Status> examining_all = Examine(candidates.timeline.ids, viewer, page);
      examined = co_await std::move(examining_all);
    }
    if (!examined.ok()) {
      co_return examined;
    }
  }

  // 4. Say what is missing, and where the next page goes on.
  const bool more =
      candidates.older_stored || !IdsBelow(candidates.timeline.ids, page.below).empty();
  completeness.set_trimmed(candidates.timeline.is_cut);
  completeness.set_hole_since(OlderHole(hole_before, HoleOf(query.scope, viewer)));
  completeness.set_examined_limit_reached(more && !page.IsFull());
  completeness.set_expired(page.expired);
  const std::string next_page_token = more ? cursor_.Make(query.scope, page.below) : std::string();

  // 5. What was taken from the viewer meanwhile is not sent. Nothing waits from here on.
  viewer.RetainVisible(page.entries);
  may_answer = MayAnswer(query.scope, viewer);
  if (!may_answer.ok()) {
    base::Task<absl::Status> refusing = RefusalOf(query.scope, std::move(may_answer));
    co_return co_await std::move(refusing);
  }
  const std::string watch_token =
      query.is_watchable ? WatchTokenOf(query.scope.viewer, seen, candidates.timeline, page) : "";
  co_return WritePage(page.entries, next_page_token, completeness, watch_token);
}

base::Task<absl::Status> FeedReads::Examine(std::vector<UpdateId> ids, const Viewer& viewer,
                                            Page& page) {
  std::span<const UpdateId> rest = IdsBelow(ids, page.below);
  while (!rest.empty() && !page.IsFull() && page.examined < limits::kExaminedMax) {
    const size_t wanted = std::max(page.size_max - page.entries.size(), kExaminedPerStepMin);
    const size_t count = std::min({wanted, rest.size(), limits::kExaminedMax - page.examined});
    const std::vector<UpdateId> batch(rest.begin(), rest.begin() + static_cast<ptrdiff_t>(count));
    std::vector<UpdateId> gone;
    base::Task<absl::StatusOr<Hydrator::Found>> finding =
        hydrator_.Find(batch, page.is_for_others ? nullptr : &gone);
    absl::StatusOr<Hydrator::Found> bodies = co_await std::move(finding);
    if (!bodies.ok()) {
      co_return base::Annotate(bodies.status(), "read updates");
    }
    AddVisible(batch, *std::move(bodies), gone, viewer, page);
    rest = IdsBelow(rest, page.below);
  }
  co_return absl::OkStatus();
}

absl::Status FeedReads::CheckOwner(const PersonId& viewer) const {
  if (d_.ownership.Holds(d_.layout.PartitionOf(viewer), d_.clock.Monotonic())) {
    return absl::OkStatus();
  }
  return NotOwner("this node may not answer for the actor now");
}

// What the viewer's worker had applied before its ring is copied is in the copy, and its memberships
// are the viewer's.
AppliedPrefix FeedReads::PrefixOf(const PageScope& scope) const {
  if (scope.kind != PageKind::kHome) {
    return AppliedPrefix(d_.progress, d_.layout.shard_count);
  }
  return AppliedPrefix(d_.progress, d_.layout.shard_count,
                       d_.layout.PartitionOf(scope.viewer).value() % d_.progress.worker_count());
}

Viewer FeedReads::ViewerOf(PersonId id, Surface surface, const AppliedPrefix& applied) const {
  return Viewer(d_.people, d_.personal, d_.groups, applied, Retention{d_.clock, d_.body_retention},
                std::move(id), surface);
}

Viewer FeedReads::ViewerOf(const PageScope& scope, const AppliedPrefix& applied) const {
  Viewer viewer =
      ViewerOf(scope.viewer,
               scope.kind == PageKind::kHome ? Surface::kHome : Surface::kOtherTimeline, applied);
  if (scope.kind == PageKind::kGroup) {
    viewer.LookOnlyThrough(GroupId(scope.subject));
  }
  return viewer;
}

absl::Status FeedReads::MayAnswer(const PageScope& scope, const Viewer& viewer) const {
  KLATCH_RETURN_IF_ERROR(CheckOwner(scope.viewer));
  if (scope.kind != PageKind::kGroup) {
    return absl::OkStatus();
  }
  const GroupEntry* group = d_.groups.Find(GroupId(scope.subject));
  return group != nullptr && viewer.IsMember(group->index) ? absl::OkStatus() : NotMember();
}

base::Task<absl::Status> FeedReads::RefusalOf(PageScope scope, absl::Status found) {
  if (!absl::IsPermissionDenied(found)) {
    co_return found;
  }
  base::Task<absl::StatusOr<StoredGroup>> reading = group_store_.ReadGroup(GroupId(scope.subject));
  const absl::StatusOr<StoredGroup> stored = co_await std::move(reading);
  co_await d_.executor.Schedule();
  if (!stored.ok()) {
    co_return stored.status();
  }
  if (stored->state != GroupState::kActive) {
    co_return base::FieldError(absl::StatusCode::kNotFound, "group", "does not exist");
  }
  co_return found;
}

std::unique_ptr<TimelineSource> FeedReads::Open(const PageScope& scope,
                                                const AppliedPrefix& applied) {
  if (scope.kind == PageKind::kGroup) {
    const GroupId group(scope.subject);
    return std::make_unique<AppliedSource>(std::make_unique<FeedSource>(stored_, group), applied,
                                           d_.layout.ShardOf(group));
  }
  if (scope.kind == PageKind::kHome) {
    return homes_.Open(scope.viewer, applied.positions());
  }
  const PersonId id(scope.subject);
  const Person* person = d_.people.Find(id);
  if (person == nullptr) {
    return std::make_unique<EmptySource>();
  }
  const lockfree::RingArena& arena = d_.people.ArenaOf(*person);
  return std::make_unique<AppliedSource>(
      std::make_unique<RingSource>(*person->posts, arena, d_.redis, keys_.Posts(id)), applied);
}

std::vector<ShardIndex> FeedReads::ShardsOf(const PageScope& scope, const Viewer& viewer) const {
  if (scope.kind == PageKind::kGroup) {
    return {d_.layout.ShardOf(GroupId(scope.subject))};
  }
  std::vector<ShardIndex> shards = viewer.Shards();
  if (scope.kind == PageKind::kProfile && !shards.empty()) {
    // What they posted to several groups is put on the profile by a record of their home shard.
    shards.push_back(d_.layout.HomeShardOf(PersonId(scope.subject)));
    std::ranges::sort(shards);
    shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
  }
  return shards;
}

bool FeedReads::IsBlockedProfile(const PageScope& scope, const Viewer& viewer) const {
  return scope.kind == PageKind::kProfile && viewer.HasBlockWith(PersonId(scope.subject));
}

uint64_t FeedReads::HoleOf(const PageScope& scope, const Viewer& viewer) const {
  switch (scope.kind) {
    case PageKind::kHome: {
      const Person* person = d_.people.Find(scope.viewer);
      return person == nullptr ? 0 : person->hole_since.load(std::memory_order_relaxed);
    }
    case PageKind::kProfile: {
      // Never the mark of the person's home: it would name an update that the viewer may not see.
      const Person* subject = d_.people.Find(PersonId(scope.subject));
      return subject == nullptr || IsBlockedProfile(scope, viewer)
                 ? 0
                 : HoleForOthers(subject->posts_hole_since.load(std::memory_order_relaxed));
    }
    case PageKind::kGroup:
      break;
  }
  return 0;
}

std::string FeedReads::WatchTokenOf(const PersonId& viewer, const AppliedPrefix& applied,
                                    const TimelineIds& timeline, const Page& page) const {
  WatchPlace place{.floor = applied.positions(), .shown = {}};
  for (const UpdateId id : timeline.ids) {
    if (!applied.Covers(id)) {
      place.shown.push_back(id);
    }
  }
  // Shown through one of its groups, which the watcher may have left when another has decided.
  for (const PageEntry& entry : page.entries) {
    if (applied.Covers(entry.id) && !applied.CoversAllOf(entry.body->header())) {
      place.shown.push_back(entry.id);
    }
  }
  return place.shown.size() > limits::kWatchTokenShownMax
             ? std::string()
             : watch_tokens_.MakeForPerson(viewer, place);
}

base::Task<absl::StatusOr<PageEntry>> FeedReads::FindEntry(PersonId viewer_id, UpdateId id,
                                                           base::MonotonicTime deadline) {
  if (id.shard().value() >= d_.layout.shard_count) {
    co_return NoSuchUpdate();
  }
  auto finding = hydrator_.FindOne(id);
  absl::StatusOr<std::shared_ptr<const Body>> body = co_await std::move(finding);
  if (!body.ok()) {
    co_return base::Annotate(body.status(), "read the update");
  }
  PageEntry entry{id, *std::move(body)};
  if (entry.body == nullptr) {
    co_return NoSuchUpdate();
  }
  // It stands in the log. Until this node has come that far, a leave before it may not be applied.
  std::vector<Token> tokens(1, Token{id.shard(), id});
  for (const Target& target : entry.body->header().targets) {
    if (target.carry.is_carried()) {
      tokens.push_back(Token{target.carry.position.shard(), target.carry.position});
    }
  }
  base::Task<absl::Status> applying = d_.progress.WaitApplied(tokens, deadline);
  const absl::Status waited = co_await std::move(applying);
  if (!waited.ok()) {
    co_return waited;
  }
  const absl::Status owner = CheckOwner(viewer_id);
  if (!owner.ok()) {
    co_return owner;
  }
  const AppliedPrefix applied(d_.progress, d_.layout.shard_count);
  const Viewer viewer = ViewerOf(viewer_id, Surface::kSingle, applied);
  if (viewer.Judge(std::span(&entry, 1)).front() != Visibility::kVisible) {
    co_return NoSuchUpdate();
  }
  co_return entry;
}

base::Task<absl::StatusOr<klatch::v1::GetUpdateResponse>> FeedReads::GetUpdate(
    klatch::v1::GetUpdateRequest request, base::MonotonicTime deadline) {
  absl::Status valid = CheckNamespace(request.namespace_(), d_.layout);
  valid.Update(CheckId(request.actor(), "actor"));
  valid.Update(CheckUpdateId(request.update_id(), "update_id"));
  if (!valid.ok()) {
    co_return valid;
  }
  absl::StatusOr<std::vector<Token>> tokens = CheckTokens(request.tokens(), d_.layout);
  if (!tokens.ok()) {
    co_return tokens.status();
  }
  base::Task<absl::Status> applying = d_.progress.WaitApplied(*std::move(tokens), deadline);
  const absl::Status waited = co_await std::move(applying);
  if (!waited.ok()) {
    co_return waited;
  }
  base::Task<absl::StatusOr<PageEntry>> finding =
      FindEntry(PersonId(request.actor()), UpdateId(request.update_id()), deadline);
  absl::StatusOr<PageEntry> entry = co_await std::move(finding);
  if (!entry.ok()) {
    co_return entry.status();
  }
  klatch::v1::GetUpdateResponse response;
  if (!ToUpdate(*entry, *response.mutable_update())) {
    co_return base::Error(absl::StatusCode::kDataLoss, "the stored update can't be decoded");
  }
  co_return response;
}

base::Task<absl::StatusOr<std::shared_ptr<const Body>>> FeedReads::FindVisible(
    PersonId viewer, UpdateId update, base::MonotonicTime deadline) {
  base::Task<absl::StatusOr<PageEntry>> finding = FindEntry(std::move(viewer), update, deadline);
  absl::StatusOr<PageEntry> entry = co_await std::move(finding);
  if (!entry.ok()) {
    co_return entry.status();
  }
  co_return entry->body;
}

}  // namespace klatch
