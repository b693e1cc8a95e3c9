// From the workers to the outboxes.

#include <algorithm>

#include "services/live/watch_hub.h"

namespace klatch {
namespace {

// The ticker keeps shards moving that were read within two seconds.
constexpr std::chrono::milliseconds kNoteReadsEvery{1'000};

WatchedEvent EventOf(const WatchItem& item) {
  WatchedEvent event;
  switch (item.kind) {
    case WatchItem::Kind::kPublished:
      event.kind = WatchedEvent::Kind::kPublished;
      break;
    case WatchItem::Kind::kEdited:
      event.kind = WatchedEvent::Kind::kEdited;
      break;
    case WatchItem::Kind::kDeleted:
      event.kind = WatchedEvent::Kind::kDeleted;
      break;
    case WatchItem::Kind::kTakenOut:
      event.kind = WatchedEvent::Kind::kTakenOut;
      break;
    case WatchItem::Kind::kJoined:
      event.kind = WatchedEvent::Kind::kJoined;
      break;
    case WatchItem::Kind::kLeft:
    case WatchItem::Kind::kGroupDeleted:
    case WatchItem::Kind::kStarted:
      event.kind = WatchedEvent::Kind::kLeft;
      break;
  }
  event.group = item.group;
  event.update = item.update;
  event.position = item.position;
  return event;
}

}  // namespace

void WatchHub::TakeItems() {
  for (uint32_t worker = 0; worker < workers_.size(); ++worker) {
    WorkerState& state = workers_[worker];
    bool lost = false;
    state.tap->Poll([&](const WatchItem& item) {
      if (item.kind == WatchItem::Kind::kStarted) {
        OnAnswer(worker, state.tap->TakeAnswer());
      } else if (state.in_step) {
        lost |= !intake_.Add(worker, item);
      }
    });
    // Behind the items: what was dropped of a record that was applied before this round is marked.
    lost |= state.tap->TakeOverflow();
    if (lost && state.in_step) {
      BeginAnew(worker);
    }
  }
}

void WatchHub::ShowReady() {
  for (const ReadyItem& ready : intake_.TakeReady(*applied_)) {
    const WatchedEvent event = EventOf(ready.item);
    const auto& watched = workers_[ready.worker].persons;
    for (const uint32_t index : ready.persons) {
      Remember(ready.worker, index, ready.item);
      if (const auto person = watched.find(index); person != watched.end()) {
        Show(event, *person->second);
      }
    }
  }
  shown_ = applied_;
}

void WatchHub::Show(const WatchedEvent& event, const WatchedPerson& person) {
  for (const WatchedPerson::Subscriber& subscriber : person.subscribers) {
    const WatchSubscription& subscription = *subscriber.subscription;
    if (subscription.start == nullptr) {
      subscriber.stream->outbox.Add(event, subscriber.number);
      QueueWrite(*subscriber.stream);
    } else if (subscription.state == WatchSubscription::State::kReading ||
               subscription.state == WatchSubscription::State::kBegun) {
      subscription.start->held.Add(event, subscriber.number);
    }
    // Else it is found in the timeline when the person begins.
  }
}

// For watches that resume later.
void WatchHub::Remember(uint32_t worker, uint32_t person, const WatchItem& item) {
  switch (item.kind) {
    // Nobody's publications are those of posts to several groups.
    case WatchItem::Kind::kTakenOut:
      taken_out_.Add(item.update, item.group);
      [[fallthrough]];
    case WatchItem::Kind::kPublished:
    case WatchItem::Kind::kEdited:
    case WatchItem::Kind::kDeleted:
      if (person == WatchItem::kNobody) {
        history_.AddChange(EventOf(item));
      }
      break;
    case WatchItem::Kind::kLeft:
      history_.AddLeave(worker, person, EventOf(item));
      break;
    case WatchItem::Kind::kGroupDeleted:
      if (!caught_up_) {
        // Stored memberships may have been without the group already, so that nobody left here.
        history_.Cut(item.position);
      }
      break;
    case WatchItem::Kind::kJoined:
    case WatchItem::Kind::kStarted:
      break;
  }
}

void WatchHub::NoteReads() {
  const base::MonotonicTime now = d_.clock.Monotonic();
  if (persons_.empty() || now - reads_noted_ < kNoteReadsEvery) {
    return;
  }
  reads_noted_ = now;
  // So many persons have groups in about every shard.
  if (persons_.size() > size_t{4} * d_.layout.shard_count) {
    for (uint32_t shard = 0; shard < d_.layout.shard_count; ++shard) {
      d_.progress.NoteRead(ShardIndex(shard));
    }
    return;
  }
  for (const auto& [name, person] : persons_) {
    for (const ShardIndex shard : person->viewer.Shards()) {
      d_.progress.NoteRead(shard);
    }
  }
}

}  // namespace klatch
