#pragma once
// ImportService's lists of members that come in parts: collected as they arrive, handed to GroupCalls
// at the stream's end.
//
// The first message says how many members there are. A stream that ends with fewer changes nothing:
// when a connection breaks, what has arrived looks like a list that is short, and whoever is not on
// it would be removed.
//
// Thread safety: gRPC calls it from its threads. Lifetime: outlives the server.
// Bounds: limits::kSyncsMax streams at once, each of kSyncBytesMax; a stream that has not ended by its
// deadline is ended. Each holds a place in the call gate until gRPC is done with it.

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <cstddef>

#include "common/base/clock.h"
#include "services/accept/call_gate.h"
#include "services/groups/group_calls.h"
#include "services/identity/door.h"

namespace klatch {

class SyncCalls {
 public:
  // `door` outlives it; null: nobody is asked who they are. `audits`: a line of the log for each.
  SyncCalls(GroupCalls& groups, CallGate& gate, const base::Clock& clock, Door* door, bool audits)
      : groups_(groups), gate_(gate), clock_(clock), door_(door), audits_(audits) {}

  grpc::ServerReadReactor<grpc::ByteBuffer>* SyncMany(grpc::CallbackServerContext* context,
                                                      grpc::ByteBuffer* out);

 private:
  GroupCalls& groups_;
  CallGate& gate_;
  const base::Clock& clock_;
  Door* const door_;
  const bool audits_;
  // A counter; nothing is published with it.
  std::atomic<size_t> under_way_{0};
};

// The list of one stream. Pure; for SyncCalls and tests.
class MembersUpload {
 public:
  // INVALID_ARGUMENT names the field at fault, RESOURCE_EXHAUSTED "members" beyond the bound.
  absl::Status Add(v1::SyncManyMembersRequest part, size_t bytes);
  // An error of the next part, which could not be read: with the index that a member at fault has in
  // the whole list, as Take's reader counts.
  absl::Status InWhole(const absl::Status& status) const;
  // At the stream's end. INVALID_ARGUMENT ("member_count") if not all have come.
  absl::StatusOr<v1::SyncMembersRequest> Take();

 private:
  bool has_begun_ = false;
  size_t bytes_ = 0;
  uint32_t member_count_ = 0;
  v1::SyncMembersRequest request_;
};

}  // namespace klatch
