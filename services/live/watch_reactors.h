#pragma once
// The two watching calls of FeedService over gRPC: requests are checked where they come in and
// handed to the hub, which writes and finishes. Where there is a door, each message of a stream is a time
// to ask whether who watches may still come in: a token that has run out ends its stream, at the next
// heartbeat at the latest.
//
// Thread safety: gRPC calls it from its threads. Lifetime: outlives the server.
// Bound: each stream holds a place in the call gate until gRPC is done with it.

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "services/accept/call_gate.h"
#include "services/identity/door.h"
#include "services/live/watch_hub.h"

namespace klatch {

class WatchCalls {
 public:
  // `door` outlives it; null: nobody is asked who they are.
  WatchCalls(WatchHub& hub, CallGate& gate, Door* door) : hub_(hub), gate_(gate), door_(door) {}

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Watch(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* in);
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* WatchMany(
      grpc::CallbackServerContext* context);

 private:
  WatchHub& hub_;
  CallGate& gate_;
  Door* const door_;
};

}  // namespace klatch
