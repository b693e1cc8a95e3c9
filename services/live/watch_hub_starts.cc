// How persons come to be watched, and how a watch begins: who is added waits until the worker tells
// everything about them (MakeLive) and until the place they start from is applied (MakeReady). Then
// watch_hub_begins.cc begins.

#include <algorithm>
#include <iterator>
#include <utility>

#include "services/live/watch_hub.h"

namespace klatch {
namespace {

bool Covers(const Positions& applied, std::span<const Token> tokens) {
  return std::ranges::all_of(
      tokens, [&](const Token& token) { return applied[token.shard.value()] >= token.position; });
}

// As much of a place as is applied.
std::shared_ptr<const WatchPlace> AppliedPart(const WatchPlace& place, const Positions& applied) {
  WatchPlace part{.floor = {}, .shown = {}};
  std::ranges::transform(place.floor, applied, std::back_inserter(part.floor),
                         [](Position a, Position b) { return std::min(a, b); });
  return std::make_shared<const WatchPlace>(std::move(part));
}

absl::Status NoRoom() {
  return base::FieldError(absl::StatusCode::kResourceExhausted, "add.persons",
                          "are more than this node may hold");
}

}  // namespace

absl::Status WatchHub::AddPersons(WatchStream& stream, WatchAddition addition) {
  const std::string_view field = stream.is_gateway ? "add.persons" : "actor";
  if (stream.subscriptions.size() + addition.persons.size() > limits::kWatchPersonsPerStreamMax) {
    return base::FieldError(absl::StatusCode::kResourceExhausted, field,
                            "are more than a stream may watch");
  }
  std::vector<std::string_view> names;
  names.reserve(addition.persons.size());
  for (const PersonId& person : addition.persons) {
    names.push_back(person.value());
  }
  const bool has_room = d_.pressure.TakesPersons(names);
  WatchStart& start = stream.starts.emplace_back();
  start.wanted = std::move(addition.place);
  start.needs = std::move(addition.tokens);
  start.give_up = d_.clock.Monotonic() + limits::kWatchPatience;
  for (const PersonId& person : addition.persons) {
    const absl::Status may = MayAdd(stream, person, has_room);
    if (may.ok()) {
      Subscribe(stream, start, person);
    } else if (!stream.is_gateway) {
      return may;
    } else {
      start.answer.Refuse(person.value(), may);
    }
  }
  stream.answer_bytes += start.answer.bytes();
  if (start.waiting == 0) {
    EndStart(stream, start);
    return absl::OkStatus();
  }
  unready_.insert(stream.id);
  return absl::OkStatus();
}

absl::Status WatchHub::MayAdd(const WatchStream& stream, const PersonId& person,
                              bool has_room) const {
  if (stream.numbers.contains(person.value())) {
    return base::Error(absl::StatusCode::kAlreadyExists, "is watched on this stream already");
  }
  if (!d_.ownership.Holds(d_.layout.PartitionOf(person), d_.clock.Monotonic())) {
    return NotOwner("this node may not answer for the person now");
  }
  if (!persons_.contains(person.value()) && persons_.size() >= d_.persons_max) {
    return NoRoom();
  }
  if (!has_room && d_.people.Find(person) == nullptr) {
    return NoRoom();
  }
  return absl::OkStatus();
}

void WatchHub::Subscribe(WatchStream& stream, WatchStart& start, const PersonId& person) {
  auto& watched = persons_[person.value()];
  if (watched == nullptr) {
    const PartitionIndex partition = d_.layout.PartitionOf(person);
    // Which worker owns a partition: see Worker::Owns.
    const auto worker = static_cast<uint32_t>(partition.value() % workers_.size());
    watched = std::make_unique<WatchedPerson>(
        Viewer(d_.people, d_.personal, d_.groups, prefix_, retention_, person, Surface::kHome),
        partition, worker);
    watched->order = workers_[worker].tap->Watch(person.value());
    person_count_.store(persons_.size(), std::memory_order_relaxed);
  }
  const uint32_t number = stream.next_number++;
  WatchSubscription& subscription = stream.subscriptions[number];
  subscription = {.person = watched.get(), .start = &start, .gap = {}};
  watched->subscribers.push_back({&stream, number, &subscription});
  stream.numbers[person.value()] = number;
  start.numbers.push_back(number);
  ++start.waiting;
}

void WatchHub::Unsubscribe(WatchStream& stream, uint32_t number) {
  const auto found = stream.subscriptions.find(number);
  WatchedPerson& person = *found->second.person;
  WatchStart* start = found->second.start;
  const bool was_waiting =
      start != nullptr && found->second.state != WatchSubscription::State::kBegun;
  const std::string name = person.viewer.id().value();
  stream.numbers.erase(name);
  stream.subscriptions.erase(found);
  std::erase_if(person.subscribers, [&](const WatchedPerson::Subscriber& subscriber) {
    return subscriber.stream == &stream;
  });
  if (person.subscribers.empty()) {
    if (person.index) {
      workers_[person.worker].persons.erase(*person.index);
      workers_[person.worker].tap->Unwatch(*person.index);
    }
    persons_.erase(name);
    person_count_.store(persons_.size(), std::memory_order_relaxed);
  }
  if (was_waiting && --start->waiting == 0 && !stream.end) {
    EndStart(stream, *start);
  }
}

void WatchHub::RemovePersons(WatchStream& stream, const std::vector<PersonId>& persons) {
  for (const PersonId& person : persons) {
    const auto number = stream.numbers.find(person.value());
    if (number != stream.numbers.end()) {
      Unsubscribe(stream, number->second);
    }
  }
}

void WatchHub::OnAnswer(uint32_t worker, WatchAnswer answer) {
  WorkerState& state = workers_[worker];
  Answered answered{.worker = worker, .applied = std::move(answer.applied), .persons = {}};
  for (WatchAnswer::Started& started : answer.persons) {
    const auto found = persons_.find(started.person);
    if (found != persons_.end() && found->second->order != started.order) {
      continue;  // Watched anew since: that order is answered later.
    }
    if (!started.index) {
      RefuseFull(started.person);
    } else if (found == persons_.end()) {
      state.tap->Unwatch(*started.index);
    } else {
      found->second->index = *started.index;
      state.persons[*started.index] = found->second.get();
      answered.persons.emplace_back(std::move(started.person), started.order);
    }
  }
  if (answer.restarted) {
    state.in_step = true;
    history_.Cut(answered.applied);
    answered.persons.clear();
    for (const auto& [index, person] : state.persons) {
      answered.persons.emplace_back(person->viewer.id().value(), person->order);
    }
  }
  if (state.in_step && !answered.persons.empty()) {
    answered_.push_back(std::move(answered));
  }
}

// The worker has no room for a person whom it did not know.
void WatchHub::RefuseFull(const std::string& name) {
  const auto found = persons_.find(name);
  if (found == persons_.end()) {
    return;
  }
  const std::vector<WatchedPerson::Subscriber> subscribers = found->second->subscribers;
  for (const auto& [stream, number, subscription] : subscribers) {
    if (!stream->is_gateway) {
      End(*stream, NoRoom());
      continue;
    }
    if (WatchStart* start = subscription->start) {
      const size_t before = start->answer.bytes();
      start->answer.Refuse(name, NoRoom());
      stream->answer_bytes += start->answer.bytes() - before;
    }
    Unsubscribe(*stream, number);
  }
}

void WatchHub::MakeLive() {
  std::vector<std::pair<std::string, uint64_t>> live;
  std::erase_if(answered_, [&](Answered& answered) {
    if (!Covers(*applied_, answered.applied)) {
      return false;
    }
    std::ranges::move(answered.persons, std::back_inserter(live));
    return true;
  });
  for (const auto& [name, order] : live) {
    const auto found = persons_.find(name);
    if (found == persons_.end() || found->second->order != order ||
        !workers_[found->second->worker].in_step) {
      continue;
    }
    found->second->is_live = true;
    for (const WatchedPerson::Subscriber& subscriber : found->second->subscribers) {
      Queue(*subscriber.stream, subscriber.number);
    }
  }
}

// Of starts that wait for the workers: those that need not any more.
void WatchHub::LookAtStarts() {
  const std::vector<uint64_t> unready(unready_.begin(), unready_.end());
  for (const uint64_t id : unready) {
    WatchStream& stream = *Find(id);
    bool waits = false;
    for (WatchStart& start : stream.starts) {
      if (start.is_ready) {
        continue;
      }
      const bool is_applied =
          Covers(*applied_, start.needs) && (!start.wanted || Covers(*applied_, *start.wanted));
      if (is_applied || d_.clock.Monotonic() >= start.give_up) {
        if (!is_applied) {
          start.wanted = start.wanted == nullptr ? nullptr : AppliedPart(*start.wanted, *applied_);
          for (const uint32_t number : start.numbers) {
            if (auto found = stream.subscriptions.find(number);
                found != stream.subscriptions.end()) {
              found->second.gap = v1::GAP_REASON_NODE_BEHIND;
            }
          }
        }
        MakeReady(stream, start);
      } else {
        waits = true;
      }
    }
    if (!waits) {
      unready_.erase(id);
    }
  }
}

void WatchHub::MakeReady(WatchStream& stream, WatchStart& start) {
  start.is_ready = true;
  start.place = start.wanted;
  if (start.place == nullptr) {
    start.place = std::make_shared<const WatchPlace>(WatchPlace{.floor = *applied_, .shown = {}});
  }
  for (const uint32_t number : start.numbers) {
    Queue(stream, number);
  }
}

// To begin, if nothing is to be waited for any more.
void WatchHub::Queue(WatchStream& stream, uint32_t number) {
  const auto found = stream.subscriptions.find(number);
  if (found == stream.subscriptions.end()) {
    return;
  }
  WatchSubscription& subscription = found->second;
  if (subscription.state == WatchSubscription::State::kWaiting && subscription.person->is_live &&
      subscription.start != nullptr && subscription.start->is_ready) {
    subscription.state = WatchSubscription::State::kQueued;
    queued_.push_back({stream.id, number, subscription.epoch});
  }
}

// What a worker had to tell was dropped: all its persons begin anew, with a gap.
void WatchHub::BeginAnew(uint32_t worker) {
  WorkerState& state = workers_[worker];
  intake_.Drop(worker);
  state.in_step = false;
  std::erase_if(answered_,
                [worker](const Answered& answered) { return answered.worker == worker; });
  state.tap->Restart();
  absl::flat_hash_map<WatchStream*, WatchStart*> starts;
  for (const auto& [name, person] : persons_) {
    if (person->worker != worker) {
      continue;
    }
    person->is_live = false;
    for (const auto& [stream, number, subscribed] : person->subscribers) {
      WatchSubscription& subscription = *subscribed;
      ++subscription.epoch;
      subscription.gap = v1::GAP_REASON_NODE_BEHIND;
      if (subscription.start == nullptr) {
        WatchStart*& start = starts[stream];
        if (start == nullptr) {
          start = &stream->starts.emplace_back();
          start->kind = WatchStart::Kind::kAnew;
          start->is_ready = true;
          start->place =
              std::make_shared<const WatchPlace>(WatchPlace{.floor = *shown_, .shown = {}});
        }
        subscription.start = start;
        start->numbers.push_back(number);
        ++start->waiting;
      } else if (subscription.state == WatchSubscription::State::kBegun) {
        ++subscription.start->waiting;
      }
      subscription.state = WatchSubscription::State::kWaiting;
    }
  }
}

}  // namespace klatch
