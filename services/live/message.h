#pragma once
// A message of a watch as bytes: events with updates as they are stored.
//
// Thread safety: one thread. Lifetime: one message.

#include <grpcpp/support/byte_buffer.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "klatch/v1/feed_service.pb.h"
#include "services/live/outbox.h"
#include "services/persons/group_directory.h"
#include "services/read/page.h"

namespace klatch {

// An event for WatchMessage::Add. `persons`: none on streams of one person. `update`: of kPublished
// and kEdited.
std::string EncodeEvent(const WatchedEvent& event, std::span<const std::string_view> persons,
                        const PageEntry* update, const GroupDirectory& groups);

class WatchMessage {
 public:
  void Add(std::string_view event);
  void SetResumeToken(std::string_view token);
  // Shards 0 to `shard_count` are stale.
  void SetStale(uint32_t shard_count);
  // Streams of many persons only.
  void AddAnswer(const v1::WatchAdded& answer);

  size_t bytes() const { return bytes_.size(); }
  grpc::ByteBuffer Finish() const;

 private:
  std::string bytes_;
};

}  // namespace klatch
