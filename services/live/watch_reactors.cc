#include "services/live/watch_reactors.h"

#include <memory>
#include <mutex>
#include <utility>

#include "services/accept/call.h"
#include "services/accept/grpc_status.h"
#include "services/identity/caller.h"

namespace klatch {
namespace {

// Who watches: what they showed at the door, to be looked at again when it may have ceased to hold.
//
// Thread safety: any thread.
class Watcher {
 public:
  // `door` may be null.
  static absl::StatusOr<std::unique_ptr<Watcher>> Enter(Door* door,
                                                        const grpc::CallbackServerContext& context,
                                                        const CallName& call) {
    std::unique_ptr<Watcher> watcher(new Watcher(door, call));
    if (door != nullptr) {
      watcher->credentials_ = CredentialsOf(context);
      KLATCH_ASSIGN_OR_RETURN(watcher->caller_, door->Enter(watcher->credentials_, call));
    }
    return watcher;
  }

  // Whether they might come in now, and for the same person.
  template <typename Request>
  absl::Status StillIn(const Request& request) {
    if (door_ == nullptr) {
      return absl::OkStatus();
    }
    std::lock_guard lock(mutex_);
    if (!door_->Holds(caller_)) {
      KLATCH_ASSIGN_OR_RETURN(caller_, door_->StillIn(credentials_, *call_));
    }
    return CheckActors(caller_, request);
  }

 private:
  Watcher(Door* door, const CallName& call) : door_(door), call_(&call) {}

  Door* const door_;
  const CallName* const call_;
  Credentials credentials_;
  std::mutex mutex_;
  Caller caller_;  // guarded by mutex_
};

// What both kinds of stream have in common. It deletes itself when gRPC is done with it; until then
// the call counts as under way.
template <typename Reactor>
class StreamReactor : public Reactor, public WatchSink {
 public:
  StreamReactor(grpc::CallbackServerContext* context, WatchHub& hub, CallGate::Pass pass,
                std::unique_ptr<Watcher> watcher)
      : watcher_(std::move(watcher)), context_(context), hub_(hub), pass_(std::move(pass)) {}

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

  void OnWriteDone(bool ok) override {
    if (const absl::Status in = StillIn(); !in.ok()) {
      hub_.Change(id_, in);
    }
    hub_.NoteWritten(id_, ok);
  }
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
  virtual absl::Status StillIn() = 0;

  const std::unique_ptr<Watcher> watcher_;
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
    v1::WatchHomeTimelineRequest request;
    absl::Status status = ParseRequest(in, request);
    if (status.ok()) {
      status = watcher_->StillIn(request);
    }
    who_.set_actor(request.actor());
    id_ = hub_.Open(*this, /*is_gateway=*/false);
    hub_.Change(id_, status.ok() ? CheckWatch(request, hub_.layout(), hub_.tokens()) : status);
  }

 private:
  absl::Status StillIn() override { return watcher_->StillIn(who_); }

  v1::WatchHomeTimelineRequest who_;  // the actor alone
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
    absl::Status parsed = ParseRequest(in_, request);
    if (parsed.ok()) {
      parsed = watcher_->StillIn(request);
    }
    const bool is_first = std::exchange(is_first_, false);
    hub_.Change(
        id_, parsed.ok() ? CheckWatches(request, is_first, hub_.layout(), hub_.tokens()) : parsed);
  }

 private:
  absl::Status StillIn() override {
    return watcher_->StillIn(v1::WatchHomeTimelinesRequest::default_instance());
  }

  grpc::ByteBuffer in_;
  bool is_first_ = true;
};

// A call that was not let in.
template <typename Reactor>
class RefusedReactor final : public Reactor {
 public:
  explicit RefusedReactor(const absl::Status& why) { this->Finish(ToGrpcStatus(why)); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchCalls::Watch(grpc::CallbackServerContext* context,
                                                              const grpc::ByteBuffer* in) {
  static const CallName& call = CallOf(*v1::WatchHomeTimelineRequest::descriptor());
  CallGate::Pass pass = gate_.Enter();
  if (!pass.granted()) {
    return new RefusedReactor<WriteReactor>(RefusalStatus(pass.refusal()));
  }
  absl::StatusOr<std::unique_ptr<Watcher>> watcher = Watcher::Enter(door_, *context, call);
  if (!watcher.ok()) {
    return new RefusedReactor<WriteReactor>(watcher.status());
  }
  auto* reactor = new OneReactor(context, hub_, std::move(pass), *std::move(watcher));
  reactor->Begin(*in);
  return reactor;
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* WatchCalls::WatchMany(
    grpc::CallbackServerContext* context) {
  static const CallName& call = CallOf(*v1::WatchHomeTimelinesRequest::descriptor());
  CallGate::Pass pass = gate_.Enter();
  if (!pass.granted()) {
    return new RefusedReactor<BidiReactor>(RefusalStatus(pass.refusal()));
  }
  absl::StatusOr<std::unique_ptr<Watcher>> watcher = Watcher::Enter(door_, *context, call);
  if (!watcher.ok()) {
    return new RefusedReactor<BidiReactor>(watcher.status());
  }
  auto* reactor = new ManyReactor(context, hub_, std::move(pass), *std::move(watcher));
  reactor->Begin();
  return reactor;
}

}  // namespace klatch
