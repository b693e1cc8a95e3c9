#pragma once
// What is to be said of an event whose update has a body, looked up and put into bytes once for all
// streams of a round.
//
//   EventForm& form = forms.Of(event);
//   if (form.state == EventForm::State::kSaid) { … judge form.body for a viewer … }
//   forms.Clear();                                     // after the round: bodies change
//
// Thread safety: one thread, the live thread.
// Bound: kFormsMax events, then MakeRoom forgets all.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>

#include "absl/container/node_hash_map.h"
#include "services/live/body_shelf.h"
#include "services/live/outbox.h"
#include "services/persons/group_directory.h"

namespace klatch {

struct EventForm {
  enum class State {
    kStarved,  // the body has to be asked for
    kSilent,   // nobody is told: deleted or expired, or a published one that was imported
    kSaid,
  };
  State state = State::kStarved;
  // Null if it is gone; of kTakenOut only.
  std::shared_ptr<const Body> body;
  // The event as streams of one person see it whose update has one group; empty until somebody did.
  std::string bytes;
};

class EventForms {
 public:
  static constexpr size_t kFormsMax = 8'192;

  EventForms(const BodyShelf& shelf, const GroupDirectory& groups)
      : shelf_(shelf), groups_(groups) {}

  static bool HasBody(const WatchedEvent& event) {
    return event.kind == WatchedEvent::Kind::kPublished ||
           event.kind == WatchedEvent::Kind::kEdited || event.kind == WatchedEvent::Kind::kTakenOut;
  }

  // REQUIRES: HasBody(event). Valid until Clear or MakeRoom.
  EventForm& Of(const WatchedEvent& event);
  void Clear() { forms_.clear(); }
  // Between messages.
  void MakeRoom() {
    if (forms_.size() >= kFormsMax) {
      Clear();
    }
  }

 private:
  using Key = std::tuple<uint64_t, WatchedEvent::Kind, uint64_t, uint32_t>;

  void LookUp(const WatchedEvent& event, EventForm& form) const;
  // Whether a body was read before a group took the update, which the event says it has.
  bool IsOlderThan(const WatchedEvent& event, const Body& body) const;

  const BodyShelf& shelf_;
  const GroupDirectory& groups_;
  absl::node_hash_map<Key, EventForm> forms_;
};

}  // namespace klatch
