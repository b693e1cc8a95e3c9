#pragma once
// A stream that watches, as the live thread keeps it: whom it watches, what it has yet to be sent,
// and who has been added but not begun yet.
//
//   add ──▶ Start: waits for workers, tokens, timelines ──▶ outbox: what was missed, what came
//                                                            meanwhile, and then what comes
//
// Thread safety: one thread, the live thread.
// Bounds: limits::kWatchPersonsPerStreamMax persons; those of Outbox, for the stream and each
// Start; of answers kWatchAnswersBytesMax and those of one request on top.

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/node_hash_map.h"
#include "common/base/clock.h"
#include "common/base/status.h"
#include "services/live/add_answer.h"
#include "services/live/outbox.h"
#include "services/live/several_shown.h"
#include "services/live/watch_request.h"
#include "services/model/limits.h"
#include "services/read/viewer.h"

namespace klatch {

// Where a stream's messages go: a reactor of gRPC. Called by the live thread only; once Finish was
// called, only Cancel, and Destroy when gRPC is done with it.
class WatchSink {
 public:
  virtual ~WatchSink() = default;
  // One at a time; the hub is told when the next may follow.
  virtual void Write(grpc::ByteBuffer message) = 0;
  // The next request may come, where there can be more than one.
  virtual void ReadNext() = 0;
  // Ends what is being written, or waits behind it for a client that doesn't read.
  virtual void Cancel() = 0;
  virtual void Finish(const absl::Status& status) = 0;
  virtual void Destroy() = 0;
};

struct WatchStream;
struct WatchSubscription;

// A person whom at least one stream watches.
struct WatchedPerson {
  struct Subscriber {
    WatchStream* stream;
    uint32_t number;
    WatchSubscription* subscription;
  };

  WatchedPerson(Viewer person_viewer, PartitionIndex person_partition, uint32_t person_worker)
      : viewer(std::move(person_viewer)), partition(person_partition), worker(person_worker) {}

  const Viewer viewer;
  const PartitionIndex partition;
  const uint32_t worker;
  uint64_t order = 0;             // to the worker; answers to earlier ones say nothing
  std::optional<uint32_t> index;  // within the worker, once it has answered
  // Everything that reaches the person and is not in the timeline yet will be told.
  bool is_live = false;
  std::vector<Subscriber> subscribers;
};

// Persons of one request, who begin together.
struct WatchStart {
  // The answer to a gateway's add, or a new beginning after an overflow, which nobody asked for.
  enum class Kind { kAdd, kAnew };
  // Of what was missed, the order in which it is shown: gaps first.
  using Key = std::tuple<Position, WatchedEvent::Kind, UpdateId, uint32_t, int>;

  Kind kind = Kind::kAdd;
  // Null until the workers have come as far as `needs`; then where to begin.
  std::shared_ptr<const WatchPlace> place;
  bool is_ready = false;
  std::shared_ptr<const WatchPlace> wanted;  // what the client said, if it did
  std::vector<Token> needs;
  base::MonotonicTime give_up;
  // How many of its persons have not begun.
  size_t waiting = 0;
  std::vector<uint32_t> numbers;
  std::map<Key, AddressedEvent> missed;
  size_t missed_recipients = 0;
  bool missed_too_much = false;
  // What reaches its persons meanwhile.
  Outbox held{limits::kWatchOutboxEventsMax, limits::kWatchOutboxRecipientsMax};
  AddAnswer answer;
};

struct WatchSubscription {
  enum class State { kWaiting, kQueued, kReading, kBegun };

  WatchedPerson* person = nullptr;
  WatchStart* start = nullptr;  // null once its start is over
  State state = State::kWaiting;
  // Raised when it begins anew; what was read for an earlier beginning is void.
  uint32_t epoch = 0;
  // Something was lost: it begins with this, not with what it missed.
  std::optional<v1::GapReason> gap;
  // Where it began: what came through some group before was shown before. Null until it begins.
  std::shared_ptr<const WatchPlace> place = nullptr;
  SeveralShown several = {};
  // The record of the last edit or deletion that was told: one for several groups comes as often.
  Position last_change = {};
  // Of which updates it was told lately that groups have them no longer: the records of these groups
  // say nothing new.
  struct RemovalTold {
    UpdateId update;
    std::vector<GroupIndex> groups;
    bool is_whole = false;  // of all of its groups
  };
  std::deque<RemovalTold> removals_told = {};
};

struct WatchStream {
  uint64_t id = 0;
  WatchSink* sink = nullptr;
  bool is_gateway = false;
  bool has_begun = false;  // heartbeats are due
  std::chrono::seconds heartbeat{};

  // Subscribers point at them.
  absl::node_hash_map<uint32_t, WatchSubscription> subscriptions;
  absl::flat_hash_map<std::string, uint32_t> numbers;  // by person
  uint32_t next_number = 0;
  std::list<WatchStart> starts;

  Outbox outbox{limits::kWatchOutboxEventsMax, limits::kWatchOutboxRecipientsMax};
  size_t recipients_sent = 0;  // of the first event: too many for one message
  std::deque<AddAnswer::Part> answers;
  // Of these and of the answers of `starts`. The next request waits while they are too many: who
  // asks without reading would fill the node's memory.
  size_t answer_bytes = 0;
  bool is_read_held = false;
  bool is_due = false;     // a message is due even if it is empty
  bool is_queued = false;  // for writing
  bool is_writing = false;
  base::MonotonicTime write_began{};  // of the last one
  base::MonotonicTime next_heartbeat{};
  // Since when bodies of what is to be sent are missing.
  std::optional<base::MonotonicTime> starved_since;
  // Ended, as soon as what is being written is.
  std::optional<absl::Status> end;
};

}  // namespace klatch
