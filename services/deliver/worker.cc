#include "services/deliver/worker.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "common/base/failpoint.h"
#include "common/base/fetch_ahead.h"
#include "services/model/past.h"

namespace klatch {
namespace {

constexpr size_t kEventsPerStep = 256;
constexpr std::chrono::milliseconds kIdleWait{5};
// Entries of one timeline that wait to be flushed: from here on the flusher does not wait for its
// interval (half of what a ring of the usual largest class holds), and from there on posts are held
// back (half of what a ring may grow to while nothing of it is flushed).
constexpr size_t kUrgentEntries = 128;
constexpr size_t kTightEntries = 512;

}  // namespace

Worker::Worker(uint32_t index, uint32_t worker_count, Dependencies dependencies,
               PersonStore& persons)
    : index_(index),
      worker_count_(worker_count),
      d_(dependencies),
      persons_(persons),
      tap_(dependencies.watch_items_max),
      roster_(dependencies.sizes),
      restored_(dependencies.layout.shard_count) {}

Worker::~Worker() { Stop(); }

absl::Status Worker::Restore(std::string_view id, std::vector<Membership> memberships,
                             UpdateId floor, uint64_t hole_since) {
  for (const Membership& membership : memberships) {
    roster_.PrefetchGroup(membership.group);
  }
  Person* person = persons_.FindOrAdd(id);
  if (person == nullptr) {
    return TooManyPersons();
  }
  if (person->memberships.Own() != nullptr) {
    return absl::OkStatus();  // A scan may name a person twice.
  }
  NoteSeen(*person);
  person->home->RaiseFloor(floor.value());
  person->posts->RaiseFloor(floor.value());
  for (const Membership& membership : memberships) {
    roster_.PrefetchEnd(membership.group);
  }
  for (const Membership& membership : memberships) {
    Position& newest = restored_[membership.position.shard().value()];
    newest = std::max(newest, membership.position);
    if (membership.stay.role != Role::kNone) {
      roster_.Add(membership.group, person->index);
      if (membership.stay.visible_from < membership.stay.joined) {
        // As when they joined: of the open past the replay delivers nothing, and pages ask for what
        // is stored.
        person->home->RaiseFloor(membership.stay.joined.value());
      }
    } else {
      // A tombstone that a former node did not come to remove: the first batch does.
      dirty_.views.push_back(
          {person->index, membership.group, membership.stay, membership.position});
      memberships_changed_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  std::ranges::sort(memberships, {}, &Membership::group);
  person->memberships.Replace(std::make_unique<MembershipList>(std::move(memberships)), d_.epochs);
  if (hole_since != 0) {
    person->hole_since.store(hole_since, std::memory_order_relaxed);
    holes_.fetch_add(1, std::memory_order_relaxed);
    dirty_.holes.push_back({person->index, hole_since, 0});
  }
  return absl::OkStatus();
}

absl::Status Worker::TooManyPersons() {
  return base::Error(absl::StatusCode::kResourceExhausted,
                     "more persons than --persons-max; raise it and restart");
}

void Worker::Begin(std::vector<Position> applied) {
  applied_ = std::move(applied);
  forgotten_.resize(applied_.size());
  for (uint32_t shard = 0; shard < applied_.size(); ++shard) {
    d_.progress.Advance(index_, ShardIndex(shard), applied_[shard]);
  }
}

void Worker::Start(std::vector<Position> applied) {
  Begin(std::move(applied));
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), fmt::format("worker-{}", index_).c_str());
    Run();
  });
}

void Worker::Stop() {
  stopping_.store(true, std::memory_order_relaxed);
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Worker::Run() {
  while (!stopping_.load(std::memory_order_relaxed)) {
    if (DoWork() == 0) {
      d_.ring.WaitForItems(index_, kIdleWait);
    }
  }
}

size_t Worker::DoWork() {
  if (failed_.load(std::memory_order_relaxed)) {
    return 0;
  }
  // A hint only: what was asked is read under the mutex.
  if (asked_.load(std::memory_order_relaxed)) {
    AnswerFlusher();
  }
  for (const uint32_t person : persons_.TakeWoken()) {
    WakeUp(person);
  }
  LookForQuiet();
  tap_.TakeOrders([this](std::string_view id) { return AddWatched(id); }, applied_);
  const size_t applied = d_.ring.Poll(
      index_, [this](const Event& event) { Apply(event); }, kEventsPerStep);
  if (applied > 0) {
    KLATCH_FAILPOINT("record-applied");
    delivered_.store(delivered_local_, std::memory_order_relaxed);
    d_.progress.Notify();
    tap_.Ring();
  }
  return applied;
}

void Worker::Apply(const Event& event) {
  if (failed_.load(std::memory_order_relaxed)) {
    return;  // What stands behind the record that it stopped at is for the replay.
  }
  switch (event.kind) {
    case Event::Kind::kPublished:
      Deliver(event);
      break;
    case Event::Kind::kHomed:
      DeliverToAuthor(event);
      break;
    case Event::Kind::kCarried:
      DeliverCarried(event);
      break;
    case Event::Kind::kMembersChanged:
      for (size_t i = 0; i < event.change_count; ++i) {
        if (Owns(event.changes[i].partition)) {
          ChangeMember(event, event.changes[i]);
        }
      }
      break;
    case Event::Kind::kGroupDeleted:
      DeleteGroup(event);
      break;
    case Event::Kind::kDeliverySwitched:
      roster_.SetPulled(event.group, event.is_pulled);
      break;
    case Event::Kind::kNothing:
      return;
    case Event::Kind::kEdited:
    case Event::Kind::kDeleted:
    case Event::Kind::kTakenOut:
      TellChange(event);
      break;
    case Event::Kind::kTimePassed:
      break;
  }
  if (failed_.load(std::memory_order_relaxed)) {
    return;
  }
  tap_.Publish();
  applied_[event.position.shard().value()] = event.position;
  d_.progress.Advance(index_, event.position.shard(), event.position);
}

// Within its callers by order: it is what a delivery consists of.
[[gnu::always_inline]] inline void Worker::AppendTo(TimelineRef timeline,
                                                    lockfree::TimelineRing& ring,
                                                    const lockfree::TimelineEntry& entry) {
  if (ring.Append(persons_.arena(), entry) == lockfree::AppendResult::kDropped) {
    NoteDropped(timeline, entry.id);
    if (timeline.kind() == TimelineRef::Kind::kHome) {
      return;
    }
  }
  if (ring.dirty_epoch() != epoch_) {
    ring.set_dirty_epoch(epoch_);
    dirty_.timelines.push_back(timeline);
  } else if (const size_t unflushed = ring.Unflushed(); unflushed >= kUrgentEntries) {
    urgent_.store(true, std::memory_order_relaxed);
    if (unflushed >= kTightEntries) {
      tight_.store(true, std::memory_order_relaxed);
    }
  }
}

void Worker::CopyTo(std::span<const uint32_t> members, const lockfree::TimelineEntry& entry) {
  uint64_t left_out = 0;
  // Two misses per member, the ring and its slot.
  base::FetchAhead(
      members,
      [this](uint32_t member)
          __attribute__((always_inline)) { __builtin_prefetch(&persons_.Home(member), 1); },
      [this](uint32_t member) __attribute__((always_inline)) {
        persons_.Home(member).PrefetchNextSlot(persons_.arena());
      },
      [&](uint32_t member) {
        if (quiet_count_ != 0 && IsQuiet(member)) {
          ++left_out;
          return;
        }
        AppendTo(TimelineRef(member, TimelineRef::Kind::kHome), persons_.Home(member), entry);
      });
  if (left_out != 0) {
    left_out_max_ = std::max(left_out_max_, entry.id);
  }
  delivered_local_ += members.size() - left_out;
}

void Worker::Deliver(const Event& event) {
  CopyTo(MembersAt(event), {event.position.value(), event.group.value(), 0});
  if (!event.is_imported) {
    tap_.TellWatched(roster_.Of(event.group), {.kind = WatchItem::Kind::kPublished,
                                               .group = event.group,
                                               .update = event.position,
                                               .position = event.position});
  }
  DeliverToAuthor(event);
}

// A replay begins at the checkpoint, and the restored memberships are newer: who joined meanwhile gets
// nothing from before. They would not see it, but it would take the place of what they are due.
std::span<const uint32_t> Worker::MembersAt(const Event& event) {
  const std::span<const uint32_t> members = roster_.CopiedTo(event.group);
  if (!IsReplayed(event)) {
    return members;
  }
  members_at_.clear();
  for (const uint32_t member : members) {
    const MembershipList* list = persons_.At(member).memberships.Own();
    const Membership* membership = list == nullptr ? nullptr : list->Find(event.group);
    if (membership != nullptr && membership->stay.joined < event.position) {
      members_at_.push_back(member);
    }
  }
  return members_at_;
}

// Who is in several of an update's groups gets it once: through the first that took it. A copy that
// has left the ring is not found; the one that follows changes nothing that a reader sees.
void Worker::DeliverCarried(const Event& event) {
  const lockfree::TimelineEntry entry{event.update.value(), event.group.value(), 0};
  for (const uint32_t member : MembersAt(event)) {
    if (quiet_count_ != 0 && IsQuiet(member)) {
      left_out_max_ = std::max(left_out_max_, entry.id);
      continue;
    }
    lockfree::TimelineRing& ring = persons_.Home(member);
    if (!ring.Contains(persons_.arena(), entry.id)) {
      AppendTo(TimelineRef(member, TimelineRef::Kind::kHome), ring, entry);
      ++delivered_local_;
    }
  }
  // Also who has it already: they may not have been let see it through the groups of before.
  const WatchItem item{.kind = WatchItem::Kind::kPublished,
                       .group = event.group,
                       .update = event.update,
                       .position = event.position};
  if (index_ == 0) {
    // For watches that resume: the update's id doesn't tell when it came to this group.
    tap_.Tell(item);
  }
  tap_.TellWatched(roster_.Of(event.group), item);
}

void Worker::DeliverToAuthor(const Event& event) {
  const lockfree::TimelineEntry entry{event.position.value(), event.group.value(), 0};
  if (Owns(event.author_partition)) {
    // The author was a member when this was appended, so the person is known unless it left since
    // and the node restarted between; the profile keeps the update in any case.
    if (Person* author = FindOrAddPerson(event.author)) {
      AppendTo(TimelineRef(author->index, TimelineRef::Kind::kPosts), *author->posts, entry);
      ++delivered_local_;
    }
  }
}

void Worker::NoteDropped(TimelineRef timeline, uint64_t id) {
  tight_.store(true, std::memory_order_relaxed);
  dropped_.fetch_add(1, std::memory_order_relaxed);
  --delivered_local_;
  if (timeline.kind() == TimelineRef::Kind::kHome) {
    MarkHole(timeline.person(), id);
    return;
  }
  // Nothing but the log knows what somebody posted: the flusher writes it, and until then the
  // floor sends readers to the stored ring. At most one a post.
  dirty_.spilled.push_back({timeline, id});
  MarkSpilled(timeline.person(), id);
}

void Worker::MarkHole(uint32_t index, uint64_t id) {
  Person& person = persons_.At(index);
  const uint64_t since = person.hole_since.load(std::memory_order_relaxed);
  holes_.fetch_add(since == 0 ? 1 : 0, std::memory_order_relaxed);
  person.hole_since.store(since == 0 ? id : std::min(since, id), std::memory_order_relaxed);
  AskForRebuild(index, person.hole_since.load(std::memory_order_relaxed));
}

void Worker::AskForRebuild(uint32_t index, uint64_t since) {
  Person& person = persons_.At(index);
  const uint64_t generation = person.hole_generation.load(std::memory_order_relaxed) + 1;
  person.hole_generation.store(generation, std::memory_order_relaxed);
  HoleMark mark{index, since, generation};
  if (person.hole_epoch == epoch_) {
    mark.since = std::min(mark.since, dirty_.holes[person.hole_place].since);
    dirty_.holes[person.hole_place] = mark;
    return;
  }
  person.hole_epoch = epoch_;
  person.hole_place = static_cast<uint32_t>(dirty_.holes.size());
  dirty_.holes.push_back(mark);
}

void Worker::MarkSpilled(uint32_t index, uint64_t id) {
  Person& person = persons_.At(index);
  const uint64_t since = person.posts_hole_since.load(std::memory_order_relaxed);
  person.posts_hole_since.store(since == 0 ? id : std::min(since, id), std::memory_order_relaxed);
  person.spill_epoch = epoch_;
}

Person* Worker::FindOrAddPerson(std::string_view id) {
  const uint32_t before = persons_.size();
  Person* person = persons_.FindOrAdd(id);
  if (person == nullptr) {
    // What can't be kept must not be passed over either: the node stops here, and replays from its
    // checkpoint when it is started with more room.
    failed_.store(true, std::memory_order_relaxed);
    return nullptr;
  }
  if (persons_.size() != before) {
    dirty_.new_persons.push_back(person->index);
    NoteSeen(*person);
  }
  return person;
}

void Worker::ChangeMember(const Event& event, const MemberChange& change) {
  Person* person = FindOrAddPerson(change.person);
  if (person == nullptr) {
    return;
  }
  const MembershipList* list = person->memberships.Own();
  const Membership* before = list == nullptr ? nullptr : list->Find(event.group);
  if (before != nullptr && before->position >= event.position) {
    // A replay of what the stored view holds already; only watches that resume have not seen it.
    if (change.kind == MemberChange::Kind::kLeft && before->position == event.position) {
      TellLeft(event, person->index);
    }
    return;
  }
  const bool was_member = before != nullptr && before->stay.role != Role::kNone;
  Membership after{event.group, {}, event.position};
  after.stay.role = change.role;
  if (change.kind == MemberChange::Kind::kJoined) {
    after.stay.joined = event.position;
    after.stay.visible_from = event.visible_from.value_or(event.position);
  } else if (change.kind == MemberChange::Kind::kRoleChanged && was_member) {
    after.stay.joined = before->stay.joined;
    after.stay.visible_from = before->stay.visible_from;
  } else {
    after.stay.role = Role::kNone;
  }
  const bool is_member = after.stay.role != Role::kNone;
  if (is_member && !was_member) {
    roster_.Add(event.group, person->index);
  } else if (!is_member && was_member) {
    roster_.Remove(event.group, person->index);
  }
  SetMembership(*person, after);
  if (change.kind == MemberChange::Kind::kJoined && event.has_past) {
    // Nothing of the past was delivered to them: the flusher fetches it from the feed, and pages ask
    // for what is stored. Posts to several groups are older by their ids than what they are to it.
    person->home->RaiseFloor(event.position.value());
    MarkHole(person->index, OldestIdTakenFrom(after.stay.visible_from).value());
  }
  if (is_member && !was_member) {
    tap_.TellWatched(std::span(&person->index, 1), {.kind = WatchItem::Kind::kJoined,
                                                    .group = event.group,
                                                    .update = {},
                                                    .position = event.position});
  } else if (!is_member &&
             (was_member || (change.kind == MemberChange::Kind::kLeft && IsReplayed(event)))) {
    // A membership that was taken from the group may have ended already by what the log tells now.
    TellLeft(event, person->index);
  }
}

// Watches that resume ask for all leaves, since a membership that has ended is not kept for long.
void Worker::TellLeft(const Event& event, uint32_t person) {
  tap_.Tell({.kind = WatchItem::Kind::kLeft,
             .person = person,
             .group = event.group,
             .update = {},
             .position = event.position});
}

// An edit or a deletion: to the watched members, and once for watches that resume.
void Worker::TellChange(const Event& event) {
  if (event.groups.empty()) {
    TellChangeIn(event, event.group);
  }
  // Who is in several of its groups is told in each; the live thread sends the same once.
  for (const GroupIndex group : event.groups) {
    TellChangeIn(event, group);
  }
}

void Worker::TellChangeIn(const Event& event, GroupIndex group) {
  const WatchItem::Kind kind = event.kind == Event::Kind::kEdited    ? WatchItem::Kind::kEdited
                               : event.kind == Event::Kind::kDeleted ? WatchItem::Kind::kDeleted
                                                                     : WatchItem::Kind::kTakenOut;
  const WatchItem item{
      .kind = kind, .group = group, .update = event.update, .position = event.position};
  if (index_ == 0) {
    tap_.Tell(item);
  }
  tap_.TellWatched(roster_.Of(group), item);
}

// Who is watched need not be in any group yet. Nothing if there is no room: that is no reason to
// stop, as it would be for a record.
std::optional<uint32_t> Worker::AddWatched(std::string_view id) {
  const uint32_t before = persons_.size();
  const Person* person = persons_.FindOrAdd(id);
  if (person == nullptr) {
    return std::nullopt;
  }
  if (persons_.size() != before) {
    dirty_.new_persons.push_back(person->index);
  }
  // A watch reads.
  WakeUp(person->index);
  return person->index;
}

void Worker::DeleteGroup(const Event& event) {
  const std::span<const uint32_t> members = roster_.Of(event.group);
  for (const uint32_t member : members) {
    SetMembership(persons_.At(member), Membership{event.group, {}, event.position});
    TellLeft(event, member);
  }
  if (index_ == 0) {
    tap_.Tell({.kind = WatchItem::Kind::kGroupDeleted,
               .group = event.group,
               .update = {},
               .position = event.position});
  }
  roster_.Clear(event.group);
}

void Worker::SetMembership(Person& person, const Membership& membership) {
  const MembershipList* before = person.memberships.Own();
  std::vector<Membership> items;
  if (before != nullptr) {
    items.reserve(before->items().size() + 1);
    items.assign(before->items().begin(), before->items().end());
  }
  auto place = std::ranges::lower_bound(items, membership.group, {}, &Membership::group);
  if (place != items.end() && place->group == membership.group) {
    *place = membership;
  } else {
    items.insert(place, membership);
  }
  person.memberships.Replace(std::make_unique<MembershipList>(std::move(items)), d_.epochs);
  dirty_.views.push_back({person.index, membership.group, membership.stay, membership.position});
  memberships_changed_.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace klatch
