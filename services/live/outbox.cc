#include "services/live/outbox.h"

#include <algorithm>
#include <utility>

namespace klatch {

void Outbox::Add(const WatchedEvent& event, uint32_t recipient) {
  if (!events_.empty() && events_.back().event == event) {
    events_.back().recipients.push_back(recipient);
  } else {
    events_.push_back({event, {recipient}});
  }
  ++recipients_;
  KeepBounds();
}

void Outbox::Add(AddressedEvent event) {
  recipients_ += event.recipients.size();
  events_.push_back(std::move(event));
  KeepBounds();
}

void Outbox::PopFront(size_t count) {
  for (size_t i = 0; i < count; ++i) {
    recipients_ -= events_.front().recipients.size();
    events_.pop_front();
  }
}

void Outbox::KeepBounds() {
  if (events_.size() > events_max_ || recipients_ > recipients_max_) {
    DropAll(v1::GAP_REASON_SLOW_READER);
  }
}

void Outbox::DropAll(v1::GapReason reason) {
  if (events_.empty()) {
    return;
  }
  WatchedEvent gap;
  // Of a post to several groups the id may be older than the record that brought it here.
  const auto since = [](const AddressedEvent& event) {
    return event.event.kind == WatchedEvent::Kind::kPublished
               ? std::min(event.event.update, event.event.position)
               : event.event.position;
  };
  gap.position = since(std::ranges::min(events_, {}, since));
  gap.reason = reason;
  events_.clear();
  events_.push_back({gap, {}});
  recipients_ = 0;
}

}  // namespace klatch
