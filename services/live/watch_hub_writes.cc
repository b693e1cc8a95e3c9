// From the outboxes to gRPC: each event is judged for each recipient when it is written, with the
// memberships of that moment, so what was queued before something was taken away is not sent after.

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "services/accept/update_message.h"
#include "services/live/message.h"
#include "services/live/watch_hub.h"
#include "services/read/page_writer.h"

namespace klatch {
namespace {

// Bodies asked for at once when the next event's is missing.
constexpr size_t kBodiesAhead = 64;
constexpr std::chrono::milliseconds kBodiesRetryPause{100};
// A message with so much is sent: while it is written, the next is put together. Of one event there
// may be more.
constexpr size_t kMessageBytesEnough = 64 << 10;

// What stands for a deleted update, whose body is gone. The narrower audience: who was no member
// when it was posted perhaps never could see it, and is not told that it was there. Of a post to
// several groups when it came to the group is no longer known; it was at its id's time or soon after.
PageEntry DeletedEntry(UpdateId id, const GroupEntry& group) {
  BodyHeader header;
  header.audience = AudienceRule::kMembersAtPosting;
  header.group = group.id;
  PageEntry entry{id.shard() == group.shard ? id : Position(id.ms(), group.shard, 0), nullptr};
  if (std::optional<Body> body = Body::Decode(EncodeBody(header, ""))) {
    entry.body = std::make_shared<const Body>(*std::move(body));
  }
  return entry;
}

// Whether the person was shown a post to several groups before, through another of them. Of a gateway's
// persons it is not known who lost sight of that group since.
bool WasShown(const WatchSubscription& subscription, const PageEntry& entry) {
  if (subscription.several.Has(entry.id)) {
    return true;
  }
  if (subscription.place == nullptr) {
    return false;
  }
  const WatchPlace& place = *subscription.place;
  return std::ranges::find(place.shown, entry.id) != place.shown.end() ||
         std::ranges::any_of(entry.through, [&](uint8_t index) {
           const Position carry = entry.body->header().targets[index].carry.position;
           return carry <= place.floor[carry.shard().value()];
         });
}

}  // namespace

// Moves events from the front of a stream's outbox into one message.
class WatchHub::Composer {
 public:
  Composer(WatchHub& hub, WatchStream& stream)
      : hub_(hub), stream_(stream), moment_(hub.d_.people, hub.retention_) {}

  // Until the message is full, the outbox empty, or an event can't be judged yet.
  void Compose() {
    const base::MonotonicTime now = hub_.d_.clock.Monotonic();
    if (!stream_.outbox.empty() &&
        stream_.recipients_sent > stream_.outbox.At(0).recipients.size()) {
      stream_.recipients_sent = 0;  // a gap stands there now
    }
    while (done_ < stream_.outbox.size() && count_ < limits::kWatchMessageEventsMax &&
           message_.bytes() < kMessageBytesEnough) {
      const Added added = Add(stream_.outbox.At(done_), now);
      if (added != Added::kWhole) {
        break;
      }
      stream_.recipients_sent = 0;
      ++done_;
    }
    stream_.outbox.PopFront(done_);
  }

  size_t count() const { return count_; }
  size_t looked_at() const { return done_; }
  bool is_starved() const { return is_starved_; }
  bool is_blocked() const { return is_blocked_; }
  WatchMessage& message() { return message_; }

 private:
  // How much of an event went into the message; the rest stays at the front of the outbox.
  enum class Added { kWhole, kPart, kNothing };

  // Persons who are told the same.
  struct Told {
    std::vector<std::string_view> shown;
    // Of an update of several groups, by those through which they see it.
    absl::flat_hash_map<std::vector<uint8_t>, std::vector<std::string_view>> shown_through;
    // Who sees it no more.
    std::vector<std::string_view> gone;
  };

  Added Add(const AddressedEvent& addressed, base::MonotonicTime now) {
    const WatchedEvent& event = addressed.event;
    EventForm* form = nullptr;
    PageEntry entry{event.update, nullptr};
    if (EventForms::HasBody(event)) {
      form = &hub_.forms_.Of(event);
      if (form->state == EventForm::State::kStarved) {
        WantBodies();
        return Added::kNothing;
      }
      if (form->state == EventForm::State::kSilent) {
        return Added::kWhole;
      }
      entry.body = form->body;
    }
    Told told;
    const size_t begin = stream_.recipients_sent;
    const size_t end = Address(addressed, entry, now, told);
    if (is_blocked_ && end == begin) {
      return Added::kNothing;
    }
    // Who stands before the one that this node may not answer for is told, and noted as told.
    Put(addressed, told, entry, form);
    stream_.recipients_sent = end;
    return end == addressed.recipients.size() ? Added::kWhole : Added::kPart;
  }

  void Put(const AddressedEvent& addressed, const Told& told, PageEntry& entry, EventForm* form) {
    WatchedEvent event = addressed.event;
    if (event.kind == WatchedEvent::Kind::kTakenOut) {
      event.kind = WatchedEvent::Kind::kEdited;
    }
    const bool is_for_all = addressed.recipients.empty();
    if (!told.shown.empty() || is_for_all) {
      entry.through.clear();
      if (form != nullptr && !stream_.is_gateway) {
        PutForm(event, entry, *form);
      } else {
        PutEvent(event, told.shown, &entry);
      }
    }
    for (const auto& [through, persons] : told.shown_through) {
      entry.through = through;
      PutEvent(event, persons, &entry);
    }
    if (!told.gone.empty()) {
      event.kind = WatchedEvent::Kind::kDeleted;
      PutEvent(event, told.gone, nullptr);
    }
  }

  void PutForm(const WatchedEvent& event, const PageEntry& entry, EventForm& form) {
    if (form.bytes.empty()) {
      form.bytes = EncodeEvent(event, {}, &entry, hub_.d_.groups);
    }
    message_.Add(form.bytes);
    ++count_;
  }

  void PutEvent(const WatchedEvent& event, std::span<const std::string_view> persons,
                const PageEntry* entry) {
    if (!stream_.is_gateway) {
      persons = {};
    }
    message_.Add(EncodeEvent(event, persons, entry, hub_.d_.groups));
    ++count_;
    if (event.kind == WatchedEvent::Kind::kGap) {
      hub_.gaps_sent_[static_cast<size_t>(event.reason)].fetch_add(1, std::memory_order_relaxed);
    }
  }

  // Who is to be told, as they may see it now, and as many as one message takes. Up to where it has
  // looked.
  size_t Address(const AddressedEvent& addressed, PageEntry& entry, base::MonotonicTime now,
                 Told& told) {
    size_t bytes = 0;
    size_t i = stream_.recipients_sent;
    for (; i < addressed.recipients.size() && bytes < limits::kWatchPersonsBytesMax; ++i) {
      const auto found = stream_.subscriptions.find(addressed.recipients[i]);
      if (found == stream_.subscriptions.end()) {
        continue;
      }
      if (!hub_.d_.ownership.Holds(found->second.person->partition, now)) {
        is_blocked_ = true;
        break;
      }
      Tell(addressed.event, found->second, entry, told);
      bytes += found->second.person->viewer.id().value().size();
    }
    return i;
  }

  void Tell(const WatchedEvent& event, WatchSubscription& subscription, PageEntry& entry,
            Told& told) {
    const WatchedPerson& person = *subscription.person;
    const std::string_view name = person.viewer.id().value();
    if (IsChange(event) && subscription.last_change == event.position) {
      return;  // told for another of its groups
    }
    if (event.kind == WatchedEvent::Kind::kTakenOut && !IsNews(event, subscription, entry)) {
      return;
    }
    const GroupEntry* group = IsChange(event) ? &hub_.d_.groups.At(event.group) : nullptr;
    bool is_shown = false;
    switch (event.kind) {
      case WatchedEvent::Kind::kGap:
      case WatchedEvent::Kind::kJoined:
      case WatchedEvent::Kind::kLeft:
        told.shown.push_back(name);
        return;
      case WatchedEvent::Kind::kPublished:
        is_shown = IsShown(person, entry) && IsFirstSight(subscription, entry);
        FollowForTokens(subscription, entry);
        break;
      case WatchedEvent::Kind::kEdited:
      case WatchedEvent::Kind::kTakenOut:
        is_shown = IsShown(person, entry);
        break;
      case WatchedEvent::Kind::kDeleted:
        break;
    }
    if (is_shown) {
      (entry.through.empty() ? told.shown : told.shown_through[entry.through]).push_back(name);
    } else if (event.kind == WatchedEvent::Kind::kDeleted ||
               event.kind == WatchedEvent::Kind::kTakenOut) {
      PageEntry deleted = DeletedEntry(event.update, *group);
      if (person.viewer.Judge(moment_, deleted) != Visibility::kVisible) {
        return;
      }
      told.gone.push_back(name);
    }
    if (IsChange(event)) {
      subscription.last_change = event.position;
    }
  }

  // Whether the person sees it, through other groups than those that have said that they have it no
  // longer: the body may not say so yet.
  bool IsShown(const WatchedPerson& person, PageEntry& entry) const {
    if (entry.body == nullptr || person.viewer.Judge(moment_, entry) != Visibility::kVisible) {
      return false;
    }
    if (!entry.body->header().is_of_several()) {
      return true;
    }
    for (const GroupIndex taken_out : hub_.taken_out_.Of(entry.id)) {
      const GroupId& group = hub_.d_.groups.At(taken_out).id;
      std::erase_if(entry.through, [&](uint8_t index) {
        return entry.body->header().targets[index].group == group;
      });
    }
    return !entry.through.empty();
  }

  // Whether the removal was not told yet with that from another group of the update.
  bool IsNews(const WatchedEvent& event, WatchSubscription& subscription,
              const PageEntry& entry) const {
    auto& told = subscription.removals_told;
    const auto before =
        std::ranges::find(told, event.update, &WatchSubscription::RemovalTold::update);
    if (before != told.end()) {
      if (before->is_whole ||
          std::ranges::find(before->groups, event.group) != before->groups.end()) {
        return false;
      }
      told.erase(before);
    }
    if (told.size() == limits::kWatchRemovalsToldMax) {
      told.pop_front();
    }
    told.push_back(RemovalNow(event, entry));
    return true;
  }

  // What is told with it: what other records have said, and what the body says, which may be ahead of
  // them.
  WatchSubscription::RemovalTold RemovalNow(const WatchedEvent& event,
                                            const PageEntry& entry) const {
    WatchSubscription::RemovalTold now{event.update, {}, entry.body == nullptr};
    const std::span<const GroupIndex> groups = hub_.taken_out_.Of(event.update);
    now.groups.assign(groups.begin(), groups.end());
    if (entry.body != nullptr) {
      for (const Target& target : entry.body->header().targets) {
        const GroupEntry* group = hub_.d_.groups.Find(target.group);
        if (target.carry.refusal == CarryRefusal::kRemoved && group != nullptr) {
          now.groups.push_back(group->index);
        }
      }
    }
    return now;
  }

  // Whether an update that is visible was not shown yet; it counts as shown then.
  static bool IsFirstSight(WatchSubscription& subscription, const PageEntry& entry) {
    if (!entry.body->header().is_of_several()) {
      return true;
    }
    if (WasShown(subscription, entry)) {
      return false;
    }
    subscription.several.Add(entry.id);
    return true;
  }

  // A gateway's tokens are for all its persons, and have no room for what each was shown.
  void FollowForTokens(WatchSubscription& subscription, const PageEntry& entry) const {
    if (!stream_.is_gateway && entry.body != nullptr && entry.body->header().is_of_several() &&
        WasShown(subscription, entry)) {
      subscription.several.Follow(entry.id, entry.body);
    }
  }

  static bool IsChange(const WatchedEvent& event) {
    return event.kind == WatchedEvent::Kind::kEdited ||
           event.kind == WatchedEvent::Kind::kTakenOut ||
           event.kind == WatchedEvent::Kind::kDeleted;
  }
  void WantBodies() {
    is_starved_ = true;
    hub_.shelf_.Want(stream_.outbox.At(done_).event.update);
    const size_t end = std::min(done_ + kBodiesAhead, stream_.outbox.size());
    for (size_t i = done_; i < end; ++i) {
      const WatchedEvent& event = stream_.outbox.At(i).event;
      if (EventForms::HasBody(event) && !hub_.shelf_.Find(event.update)) {
        hub_.shelf_.Want(event.update);
      }
    }
  }

  WatchHub& hub_;
  WatchStream& stream_;
  const Moment moment_;
  WatchMessage message_;
  size_t done_ = 0;
  size_t count_ = 0;
  bool is_starved_ = false;
  bool is_blocked_ = false;
};

void WatchHub::QueueWrite(WatchStream& stream) {
  if (!stream.is_queued && !stream.is_writing && !stream.end) {
    stream.is_queued = true;
    to_write_.push_back(stream.id);
  }
}

void WatchHub::WriteQueued() {
  for (const uint64_t id : std::exchange(blocked_, {})) {
    if (WatchStream* stream = Find(id)) {
      QueueWrite(*stream);
    }
  }
  for (const uint64_t id : std::exchange(to_write_, {})) {
    if (WatchStream* stream = Find(id)) {
      stream->is_queued = false;
      if (!stream->is_writing && !stream->end) {
        forms_.MakeRoom();
        Write(*stream);
      }
    }
  }
  forms_.Clear();
}

void WatchHub::Write(WatchStream& stream) {
  if (!stream.has_begun) {
    return;
  }
  Composer composer(*this, stream);
  const bool has_answered = TakeAnswers(stream, composer.message());
  composer.Compose();
  const base::MonotonicTime now = d_.clock.Monotonic();
  if (composer.looked_at() != 0 || !composer.is_starved()) {
    stream.starved_since.reset();
  }
  if (composer.is_starved()) {
    stream.starved_since = stream.starved_since.value_or(now);
    if (now - *stream.starved_since >= limits::kWatchPatience) {
      stream.starved_since.reset();
      stream.outbox.DropAll(v1::GAP_REASON_UNREADABLE);
      stream.recipients_sent = 0;
      QueueWrite(stream);
    } else {
      starved_.push_back(stream.id);
    }
  }
  if (composer.is_blocked()) {
    blocked_.push_back(stream.id);
  }
  // Nobody is told that it has begun before it has.
  const bool is_due = stream.is_due && (stream.is_gateway || stream.starts.empty());
  if (composer.count() == 0 && !has_answered && !is_due) {
    return;
  }
  WatchMessage& message = composer.message();
  if (stream.outbox.empty() && stream.starts.empty() && stream.answers.empty()) {
    // All of this round is in the outbox, and the outbox is sent.
    if (stream.is_gateway) {
      message.SetResumeToken(tokens_.SignForStream(PackedPlace()));
    } else if (!stream.subscriptions.empty()) {
      message.SetResumeToken(PersonToken(stream.subscriptions.begin()->second));
    }
  }
  if (IsStale()) {
    message.SetStale(d_.layout.shard_count);
  }
  stream.is_due = false;
  stream.is_writing = true;
  stream.write_began = now;
  heartbeats_.erase({stream.next_heartbeat, stream.id});
  stream.next_heartbeat = now + stream.heartbeat;
  heartbeats_.emplace(stream.next_heartbeat, stream.id);
  events_sent_.fetch_add(composer.count(), std::memory_order_relaxed);
  messages_sent_.fetch_add(1, std::memory_order_relaxed);
  stream.sink->Write(message.Finish());
  if (stream.is_read_held) {
    ReadNext(stream);
  }
}

// As many as the message takes, in front of the events: what an add begins with stands behind its
// answer. Whether there were any.
bool WatchHub::TakeAnswers(WatchStream& stream, WatchMessage& message) {
  const size_t before = stream.answers.size();
  while (!stream.answers.empty() && message.bytes() < limits::kWatchMessageBytesMax) {
    message.AddAnswer(stream.answers.front().added);
    stream.answer_bytes -= stream.answers.front().bytes;
    stream.answers.pop_front();
  }
  return stream.answers.size() != before;
}

void WatchHub::Heartbeats() {
  const base::MonotonicTime now = d_.clock.Monotonic();
  while (!heartbeats_.empty() && heartbeats_.begin()->first <= now) {
    WatchStream& stream = *Find(heartbeats_.begin()->second);
    heartbeats_.erase(heartbeats_.begin());
    stream.next_heartbeat = now + stream.heartbeat;
    heartbeats_.emplace(stream.next_heartbeat, stream.id);
    stream.is_due = true;
    QueueWrite(stream);
  }
}

void WatchHub::ReadBodies() {
  const base::MonotonicTime now = d_.clock.Monotonic();
  if (is_reading_bodies_ || now - bodies_failed_ < kBodiesRetryPause) {
    return;
  }
  if (!shelf_.has_wanted()) {
    // Nothing is under way for them: what they wanted has come, or was not kept.
    for (const uint64_t id : std::exchange(starved_, {})) {
      if (WatchStream* stream = Find(id)) {
        QueueWrite(*stream);
      }
    }
    return;
  }
  CallGate::Pass pass = d_.gate.Enter();
  if (!pass.granted()) {
    return;
  }
  is_reading_bodies_ = true;
  base::Spawn(ReadBatch(shelf_.Take(), std::move(pass)));
}

base::Task<void> WatchHub::ReadBatch(std::vector<UpdateId> ids, CallGate::Pass pass) {
  const CallGate::Pass held = std::move(pass);
  auto finding = hydrator_.Find(std::move(ids));
  absl::StatusOr<Hydrator::Found> found = co_await std::move(finding);
  inbox_.Post([this, found = std::move(found)] { OnBodiesRead(found); });
}

void WatchHub::OnBodiesRead(absl::StatusOr<Hydrator::Found> found) {
  is_reading_bodies_ = false;
  if (found.ok()) {
    shelf_.Arrived(*std::move(found));
  } else {
    bodies_failed_ = d_.clock.Monotonic();
  }
  // Those that still lack some ask again.
  for (const uint64_t id : std::exchange(starved_, {})) {
    if (WatchStream* stream = Find(id)) {
      QueueWrite(*stream);
    }
  }
}

const std::string& WatchHub::PackedPlace() {
  if (packed_place_.empty()) {
    packed_place_ = PackWatchPlace({.floor = *applied_, .shown = {}});
  }
  return packed_place_;
}

std::string WatchHub::PersonToken(WatchSubscription& subscription) {
  const PersonId& person = subscription.person->viewer.id();
  std::vector<UpdateId> shown = subscription.several.OpenAt(prefix_);
  return shown.empty() ? tokens_.SignForPerson(person, PackedPlace())
                       : tokens_.MakeForPerson(person, {*applied_, std::move(shown)});
}

bool WatchHub::IsStale() const {
  return d_.clock.Monotonic() - d_.progress.LastHeard() > d_.stale_limit;
}

}  // namespace klatch
