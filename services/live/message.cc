#include "services/live/message.h"

#include <grpcpp/support/slice.h>

#include "services/read/completeness.h"
#include "services/read/page_writer.h"

namespace klatch {
namespace {

using One = v1::WatchHomeTimelineResponse;
using Many = v1::WatchHomeTimelinesResponse;

// Both messages have the same fields, so one writer serves them.
static_assert(int{One::kEventsFieldNumber} == int{Many::kEventsFieldNumber});
static_assert(int{One::kResumeTokenFieldNumber} == int{Many::kResumeTokenFieldNumber});
static_assert(int{One::kStaleShardsFieldNumber} == int{Many::kStaleShardsFieldNumber});

}  // namespace

std::string EncodeEvent(const WatchedEvent& event, std::span<const std::string_view> persons,
                        const PageEntry* update, const GroupDirectory& groups) {
  // By hand, for an event may have thousands.
  std::string bytes;
  for (const std::string_view person : persons) {
    AppendField(bytes, v1::WatchEvent::kPersonsFieldNumber, person);
  }
  v1::WatchEvent head;
  int update_field = 0;
  switch (event.kind) {
    case WatchedEvent::Kind::kPublished:
      update_field = v1::WatchEvent::kPublishedFieldNumber;
      break;
    case WatchedEvent::Kind::kEdited:
      update_field = v1::WatchEvent::kEditedFieldNumber;
      break;
    case WatchedEvent::Kind::kTakenOut:  // sent as one of its neighbours
    case WatchedEvent::Kind::kDeleted:
      head.set_deleted(event.update.value());
      break;
    case WatchedEvent::Kind::kJoined:
      head.set_joined_group(groups.At(event.group).id.value());
      break;
    case WatchedEvent::Kind::kLeft:
      head.set_left_group(groups.At(event.group).id.value());
      break;
    case WatchedEvent::Kind::kGap:
      *head.mutable_gap()->mutable_since() = TimeOf(event.position);
      head.mutable_gap()->set_reason(event.reason);
      break;
  }
  head.AppendToString(&bytes);
  if (update_field != 0) {
    AppendUpdate(bytes, update_field, *update);
  }
  return bytes;
}

void WatchMessage::Add(std::string_view event) {
  AppendField(bytes_, One::kEventsFieldNumber, event);
}

void WatchMessage::SetResumeToken(std::string_view token) {
  AppendField(bytes_, One::kResumeTokenFieldNumber, token);
}

void WatchMessage::SetStale(uint32_t shard_count) {
  One stale;
  for (uint32_t shard = 0; shard < shard_count; ++shard) {
    stale.add_stale_shards(shard);
  }
  stale.AppendToString(&bytes_);
}

void WatchMessage::AddAnswer(const v1::WatchAdded& answer) {
  AppendField(bytes_, Many::kAddedFieldNumber, answer.SerializeAsString());
}

grpc::ByteBuffer WatchMessage::Finish() const {
  const grpc::Slice slice(bytes_);
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace klatch
