// How a watch begins: what was missed is read (Begin) and shown, and then what came meanwhile
// (EndStart).

#include <algorithm>
#include <iterator>
#include <utility>

#include "services/live/watch_hub.h"

namespace klatch {
namespace {

// Watches begun in one round, so that others are served between.
constexpr size_t kBeginsPerRound = 1'000;

// From when on something may be missing, if all since `floor` may. A post to several groups may have come
// to one of them later than its id says, as long as tokens allow for that too.
Position SinceOf(std::span<const Position> floor, const Positions& applied) {
  Position since(UINT64_MAX);
  for (size_t shard = 0; shard < floor.size(); ++shard) {
    if (floor[shard] < applied[shard]) {
      since = std::min(since, floor[shard]);
    }
  }
  since = since == Position(UINT64_MAX) ? *std::ranges::max_element(applied) : since;
  constexpr auto kLate = static_cast<uint64_t>(limits::kWatchSeveralOpenMax.count());
  return since.ms() < kLate ? Position() : Position(since.ms() - kLate, ShardIndex(0), 0);
}

WatchedEvent GapOf(v1::GapReason reason, Position since) {
  WatchedEvent gap;
  gap.reason = reason;
  gap.position = since;
  return gap;
}

// Where the event stands among what was missed. A gap's position only says since when; gaps come
// first. All that says that one update came to groups stands together at its id, so that it is still
// known to be shown when the next of it is looked at; each stays, since each waits for a body in which
// its own group has decided. An edit's group is in the body; of what is gone there is none, and each
// of its groups tells its own members.
WatchStart::Key KeyOf(const WatchedEvent& event) {
  Position position = event.position;
  uint32_t group = 0;
  switch (event.kind) {
    case WatchedEvent::Kind::kGap:
      position = Position();
      break;
    case WatchedEvent::Kind::kPublished:
      position = event.update;
      group = event.position == event.update ? 0 : event.group.value() + 1;
      break;
    case WatchedEvent::Kind::kJoined:
    case WatchedEvent::Kind::kLeft:
    case WatchedEvent::Kind::kDeleted:
    case WatchedEvent::Kind::kTakenOut:
      group = event.group.value();
      break;
    case WatchedEvent::Kind::kEdited:
      break;
  }
  return {position, event.kind, event.update, group, event.reason};
}

}  // namespace

size_t WatchHub::BeginQueued() {
  size_t begun = 0;
  while (!queued_.empty() && begun < kBeginsPerRound && reads_ < limits::kWatchReadsMax) {
    const Queued next = queued_.front();
    if (WatchStream* stream = Find(next.stream)) {
      const auto found = stream->subscriptions.find(next.number);
      if (found != stream->subscriptions.end() && found->second.epoch == next.epoch &&
          found->second.state == WatchSubscription::State::kQueued &&
          !Begin(*stream, next.number, found->second)) {
        break;
      }
    }
    queued_.pop_front();
    ++begun;
  }
  return begun;
}

// Everything that reaches the person above `applied_` comes by later rounds; what was missed is in
// the timeline and in the history.
bool WatchHub::Begin(WatchStream& stream, uint32_t number, WatchSubscription& subscription) {
  WatchStart& start = *subscription.start;
  const std::shared_ptr<const WatchPlace> place = start.place;
  subscription.place = place;
  if (!stream.is_gateway) {
    for (const UpdateId id : place->shown) {
      subscription.several.Follow(id, nullptr);
    }
  }
  if (subscription.gap) {
    AddMissed(start, number, GapOf(*subscription.gap, SinceOf(place->floor, *applied_)));
    NoteBegun(stream, subscription);
    return true;
  }
  if (Covers(place->floor, *applied_)) {
    NoteBegun(stream, subscription);
    return true;
  }
  // The read uses what the node is made of: who drains waits for it as for a call.
  CallGate::Pass pass = d_.gate.Enter();
  if (!pass.granted()) {
    return false;
  }
  subscription.state = WatchSubscription::State::kReading;
  if (!history_.Reaches(place->floor)) {
    AddMissed(start, number, GapOf(v1::GAP_REASON_TOKEN_TOO_OLD, SinceOf(place->floor, *applied_)));
  }
  for (const WatchedEvent& event : MissedChanges(*subscription.person, *place)) {
    AddMissed(start, number, event);
  }
  ++reads_;
  base::Spawn(ReadMissed({stream.id, number, subscription.epoch}, subscription.person->viewer.id(),
                         place, applied_, std::move(pass)));
  return true;
}

// Joins, leaves, edits and deletions since `place`. Of updates that are shown as published, or were
// deleted before they could be, nothing more is said.
std::vector<WatchedEvent> WatchHub::MissedChanges(const WatchedPerson& watched,
                                                  const WatchPlace& place) const {
  std::vector<WatchedEvent> missed =
      history_.LeavesOf(watched.worker, *watched.index, place.floor, *applied_);
  const lockfree::EpochReclaimer::Guard guard(d_.people.epochs());
  const Person* person = d_.people.Find(watched.viewer.id());
  const MembershipList* memberships = person == nullptr ? nullptr : person->memberships.Load(guard);
  if (memberships == nullptr) {
    return missed;
  }
  for (const Membership& membership : memberships->items()) {
    const uint32_t shard = d_.groups.At(membership.group).shard.value();
    const Position joined = membership.stay.joined;
    if (membership.stay.role == Role::kNone) {
      continue;
    }
    if (joined > place.floor[shard] && joined <= (*applied_)[shard]) {
      missed.push_back({.kind = WatchedEvent::Kind::kJoined,
                        .group = membership.group,
                        .update = {},
                        .position = joined});
    }
    for (const WatchedEvent& event : history_.ChangesOf(membership.group, place.floor, *applied_)) {
      // Whether something that came to the group meanwhile was shown through another is seen when it
      // is sent.
      const bool was_shown = event.update <= place.floor[event.update.shard().value()] ||
                             std::ranges::find(place.shown, event.update) != place.shown.end();
      if (was_shown || event.kind == WatchedEvent::Kind::kPublished) {
        missed.push_back(event);
      }
    }
  }
  return missed;
}

base::Task<void> WatchHub::ReadMissed(Queued queued, PersonId person,
                                      std::shared_ptr<const WatchPlace> place,
                                      std::shared_ptr<const Positions> until, CallGate::Pass pass) {
  const CallGate::Pass held = std::move(pass);
  auto reading = resume_reader_.Read(std::move(person), std::move(place), std::move(until));
  ResumeFound found = co_await std::move(reading);
  inbox_.Post([this, queued, found = std::move(found)] { OnMissedRead(queued, found); });
}

void WatchHub::OnMissedRead(Queued queued, ResumeFound found) {
  --reads_;
  WatchStream* stream = Find(queued.stream);
  if (stream == nullptr) {
    return;
  }
  const auto entry = stream->subscriptions.find(queued.number);
  if (entry == stream->subscriptions.end() || entry->second.epoch != queued.epoch) {
    return;
  }
  WatchStart& start = *entry->second.start;
  if (found.gap) {
    AddMissed(start, queued.number, GapOf(*found.gap, SinceOf(start.place->floor, *applied_)));
  }
  for (const UpdateId id : found.ids) {
    WatchedEvent event;
    event.kind = WatchedEvent::Kind::kPublished;
    event.update = id;
    event.position = id;
    AddMissed(start, queued.number, event);
  }
  NoteBegun(*stream, entry->second);
}

void WatchHub::AddMissed(WatchStart& start, uint32_t number, const WatchedEvent& event) {
  if (start.missed_too_much) {
    return;
  }
  AddressedEvent& entry = start.missed[KeyOf(event)];
  const bool is_older_gap =
      event.kind == WatchedEvent::Kind::kGap && event.position < entry.event.position;
  if (entry.recipients.empty() || is_older_gap) {
    entry.event = event;
  }
  entry.recipients.push_back(number);
  if (start.missed.size() > limits::kWatchOutboxEventsMax ||
      ++start.missed_recipients > limits::kWatchOutboxRecipientsMax) {
    start.missed.clear();
    start.missed_too_much = true;
  }
}

void WatchHub::NoteBegun(WatchStream& stream, WatchSubscription& subscription) {
  subscription.state = WatchSubscription::State::kBegun;
  WatchStart& start = *subscription.start;
  if (--start.waiting == 0) {
    EndStart(stream, start);
  }
}

void WatchHub::EndStart(WatchStream& stream, WatchStart& start) {
  // What came meanwhile to one of them may have been in the timeline of another.
  for (size_t i = 0; i < start.held.size(); ++i) {
    const AddressedEvent& held = start.held.At(i);
    for (const uint32_t number :
         held.recipients.empty() ? std::span<const uint32_t>(start.numbers) : held.recipients) {
      AddMissed(start, number, held.event);
    }
  }
  uint32_t watched = 0;
  Recipients numbers;
  for (const uint32_t number : start.numbers) {
    const auto found = stream.subscriptions.find(number);
    if (found != stream.subscriptions.end()) {
      found->second.start = nullptr;
      found->second.gap.reset();
      numbers.push_back(number);
      ++watched;
    }
  }
  if (start.missed_too_much) {
    stream.outbox.Add({GapOf(v1::GAP_REASON_TRIMMED, SinceOf(start.place->floor, *applied_)),
                       std::move(numbers)});
  }
  for (auto& [key, event] : start.missed) {
    stream.outbox.Add(std::move(event));
  }
  if (start.kind == WatchStart::Kind::kAdd && stream.is_gateway) {
    std::ranges::move(std::move(start.answer).Finish(watched), std::back_inserter(stream.answers));
  }
  stream.is_due = true;
  stream.starts.remove_if([&start](const WatchStart& other) { return &other == &start; });
  QueueWrite(stream);
}

}  // namespace klatch
