#pragma once
// One call of the edge to the node that it belongs to, over the channel inside the process: bytes
// of one request, then bytes of each response, one at a time, as the caller asks for them.
//
//   call = NodeCall::Start(…);   // on_message or on_end follows
//   call->ReadNext();            // after each on_message, when there is room for another
//
// Threads: a call belongs to a loop. Start, ReadNext and Cancel on the loop's thread; the listener
// is called there, too. gRPC's threads only post.
// Lifetime: from Start until the listener's on_end returns, which comes once, always.
// Bound: one message; the node waits until it is asked for the next.

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "services/accept/call_gate.h"
#include "services/identity/credentials.h"

namespace klatch {

// Where work of one thread is put from any other. Outlives every call on it.
class Loop {
 public:
  virtual ~Loop() = default;
  virtual void Post(std::function<void()> work) = 0;
};

class NodeCall final : private grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  struct Listener {
    std::function<void(grpc::ByteBuffer)> on_message;
    std::function<void(const grpc::Status&)> on_end;
  };

  struct What {
    std::string path;
    std::string request;
    Credentials credentials;  // the client's; a token is printable ASCII
  };

  // `pass` is given back when the call touches the loop no more.
  static NodeCall* Start(grpc::GenericStub& stub, const What& what,
                         std::optional<std::chrono::milliseconds> timeout, Loop& loop,
                         CallGate::Pass pass, Listener listener);

  // REQUIRES: on_message came since the last one.
  void ReadNext();
  // on_end comes soon, without another on_message. A unary call runs on in the node.
  void Cancel();

 private:
  NodeCall(Loop& loop, CallGate::Pass pass, Listener listener)
      : loop_(loop), pass_(std::move(pass)), listener_(std::move(listener)) {}

  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  Loop& loop_;
  CallGate::Pass pass_;
  // The loop's.
  Listener listener_;
  bool is_reading_ = false;
  bool is_cancelled_ = false;
  // gRPC's, from the beginning of a read or write until it is done.
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer message_;
};

}  // namespace klatch
