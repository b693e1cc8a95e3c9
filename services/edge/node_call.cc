#include "services/edge/node_call.h"

#include <utility>

namespace klatch {

NodeCall* NodeCall::Start(grpc::GenericStub& stub, const What& what,
                          std::optional<std::chrono::milliseconds> timeout, Loop& loop,
                          CallGate::Pass pass, Listener listener) {
  auto* call = new NodeCall(loop, std::move(pass), std::move(listener));
  if (timeout) {
    call->context_.set_deadline(std::chrono::system_clock::now() + *timeout);
  }
  Show(what.credentials, call->context_);
  grpc::Slice slice(what.request);
  call->request_ = grpc::ByteBuffer(&slice, 1);
  stub.PrepareBidiStreamingCall(&call->context_, what.path, {}, call);
  // Reads begin outside of gRPC's reactions; the hold keeps the call until one of them fails.
  call->AddHold();
  call->StartWriteLast(&call->request_, {});
  call->is_reading_ = true;
  call->StartRead(&call->message_);
  call->StartCall();
  return call;
}

void NodeCall::ReadNext() {
  is_reading_ = true;
  message_.Clear();
  StartRead(&message_);
}

void NodeCall::Cancel() {
  if (std::exchange(is_cancelled_, true)) {
    return;
  }
  context_.TryCancel();
  if (!is_reading_) {
    ReadNext();  // fails, which lets go of the hold
  }
}

void NodeCall::OnReadDone(bool ok) {
  if (!ok) {
    RemoveHold();
    return;
  }
  loop_.Post([this] {
    is_reading_ = false;
    if (is_cancelled_) {
      ReadNext();
      return;
    }
    listener_.on_message(std::move(message_));
  });
}

void NodeCall::OnDone(const grpc::Status& status) {
  // Given back after Post: who waits for calls to end may then take the loop apart.
  const CallGate::Pass held = std::move(pass_);
  loop_.Post([this, status] {
    listener_.on_end(status);
    delete this;
  });
}

}  // namespace klatch
