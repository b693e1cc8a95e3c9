#include "services/live/watch_reactors.h"

#include <mutex>
#include <utility>

#include "services/accept/call.h"
#include "services/accept/grpc_status.h"

namespace klatch {
namespace {

// What both kinds of stream have in common. It deletes itself when gRPC is done with it; until then
// the call counts as under way.
template <typename Reactor>
class StreamReactor : public Reactor, public WatchSink {
 public:
  StreamReactor(grpc::CallbackServerContext* context, WatchHub& hub, CallGate::Pass pass)
      : context_(context), hub_(hub), pass_(std::move(pass)) {}

  void Write(grpc::ByteBuffer message) override {
    message_.Swap(&message);
    this->StartWrite(&message_);
  }
  void ReadNext() override {}
  void Cancel() override {
    std::lock_guard lock(mutex_);
    if (!is_done_) {
      context_->TryCancel();
    }
  }
  void Finish(const absl::Status& status) override { Reactor::Finish(ToGrpcStatus(status)); }

  void OnWriteDone(bool ok) override { hub_.NoteWritten(id_, ok); }
  void OnCancel() override { hub_.NoteCancelled(id_); }
  // The context is gone after this.
  void OnDone() override {
    {
      std::lock_guard lock(mutex_);
      is_done_ = true;
    }
    hub_.NoteDone(id_);
  }
  void Destroy() override {
    // Last: who drains may take the hub apart when the gate is empty.
    const CallGate::Pass held = std::move(pass_);
    delete this;
  }

 protected:
  grpc::CallbackServerContext* const context_;
  WatchHub& hub_;
  CallGate::Pass pass_;
  grpc::ByteBuffer message_;
  uint64_t id_ = 0;
  std::mutex mutex_;
  bool is_done_ = false;  // guarded by mutex_
};

using WriteReactor = grpc::ServerWriteReactor<grpc::ByteBuffer>;
using BidiReactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

class OneReactor final : public StreamReactor<WriteReactor> {
 public:
  using StreamReactor::StreamReactor;

  // Once it is constructed whole: the live thread may call it from here on.
  void Begin(const grpc::ByteBuffer& in) {
    id_ = hub_.Open(*this, /*is_gateway=*/false);
    v1::WatchHomeTimelineRequest request;
    const absl::Status parsed = ParseRequest(in, request);
    hub_.Change(id_, parsed.ok() ? CheckWatch(request, hub_.layout(), hub_.tokens()) : parsed);
  }
};

class ManyReactor final : public StreamReactor<BidiReactor> {
 public:
  using StreamReactor::StreamReactor;

  void Begin() {
    id_ = hub_.Open(*this, /*is_gateway=*/true);
    StartRead(&in_);
  }

  void ReadNext() override { StartRead(&in_); }

  void OnReadDone(bool ok) override {
    if (!ok) {
      return;  // no more changes; or it has ended, which OnCancel says
    }
    v1::WatchHomeTimelinesRequest request;
    const absl::Status parsed = ParseRequest(in_, request);
    const bool is_first = std::exchange(is_first_, false);
    hub_.Change(
        id_, parsed.ok() ? CheckWatches(request, is_first, hub_.layout(), hub_.tokens()) : parsed);
  }

 private:
  grpc::ByteBuffer in_;
  bool is_first_ = true;
};

// A call that the gate did not let in.
template <typename Reactor>
class RefusedReactor final : public Reactor {
 public:
  explicit RefusedReactor(CallGate::Pass::Refusal refusal) {
    this->Finish(ToGrpcStatus(RefusalStatus(refusal)));
  }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchCalls::Watch(grpc::CallbackServerContext* context,
                                                              const grpc::ByteBuffer* in) {
  CallGate::Pass pass = gate_.Enter();
  if (!pass.granted()) {
    return new RefusedReactor<WriteReactor>(pass.refusal());
  }
  auto* reactor = new OneReactor(context, hub_, std::move(pass));
  reactor->Begin(*in);
  return reactor;
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* WatchCalls::WatchMany(
    grpc::CallbackServerContext* context) {
  CallGate::Pass pass = gate_.Enter();
  if (!pass.granted()) {
    return new RefusedReactor<BidiReactor>(pass.refusal());
  }
  auto* reactor = new ManyReactor(context, hub_, std::move(pass));
  reactor->Begin();
  return reactor;
}

}  // namespace klatch
