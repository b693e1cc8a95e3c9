#pragma once
// What a stream has yet to be sent: events by id, not their bytes, so that each is judged and
// looked up when it is sent.
//
// Thread safety: one thread, the live thread.
// Bound: events_max events and recipients_max recipients in all of them. What comes on top drops
// all, and one gap stands in their place.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include "absl/container/inlined_vector.h"
#include "klatch/v1/feed_service.pb.h"
#include "services/model/ids.h"
#include "services/model/position.h"

namespace klatch {

struct WatchedEvent {
  // kTakenOut: of an update of several groups, `group` has it no longer. Who sees it through another
  // is shown it as edited, others that it is deleted.
  enum class Kind : uint8_t { kGap, kPublished, kEdited, kTakenOut, kDeleted, kJoined, kLeft };

  Kind kind = Kind::kGap;
  GroupIndex group;
  UpdateId update;    // kPublished, kEdited, kTakenOut, kDeleted
  Position position;  // of the record; of a gap: what was posted before is not missing
  v1::GapReason reason = v1::GAP_REASON_UNSPECIFIED;  // kGap

  bool operator==(const WatchedEvent&) const = default;
};

using Recipients = absl::InlinedVector<uint32_t, 2>;

// Whom of a stream's persons it reaches, by their numbers on the stream. None in a gap: everybody.
struct AddressedEvent {
  WatchedEvent event;
  Recipients recipients;
};

class Outbox {
 public:
  Outbox(size_t events_max, size_t recipients_max)
      : events_max_(events_max), recipients_max_(recipients_max) {}

  // Behind what is there; one more recipient, if it is the event at the end.
  void Add(const WatchedEvent& event, uint32_t recipient);
  void Add(AddressedEvent event);

  bool empty() const { return events_.empty(); }
  size_t size() const { return events_.size(); }
  const AddressedEvent& At(size_t i) const { return events_[i]; }
  // Forgets the first `count`, which were sent or may not be.
  void PopFront(size_t count);
  // Nothing but a gap is left. It begins where the oldest of what was dropped stood.
  void DropAll(v1::GapReason reason);

 private:
  void KeepBounds();

  const size_t events_max_;
  const size_t recipients_max_;
  std::deque<AddressedEvent> events_;
  size_t recipients_ = 0;
};

}  // namespace klatch
