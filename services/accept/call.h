#pragma once
// How a unary call of gRPC's callback API becomes a coroutine: ask who calls, parse, check the deadline
// and whom the caller acts for, run, answer.
//
// Every method is a raw one (bytes in, bytes out). Requests are parsed here, because gRPC answers a
// request that doesn't parse with INTERNAL, while we owe the caller the field that is not UTF-8;
// and pages are assembled from stored bytes without a message of their own.
//
//   grpc::ServerUnaryReactor* GetGroup(grpc::CallbackServerContext* context,
//                                      const grpc::ByteBuffer* in,
//                                      grpc::ByteBuffer* out) override {
//     return calls_.Run(context, in, out, &groups_, &GroupCalls::GetGroup);
//   }
//
// Threads: a call starts on gRPC's thread and continues wherever its waits end.
// Lifetime: context, request and response stay until the reactor is finished, which happens once,
// at the coroutine's end, whether the client is still there or not: a cancelled call runs on to its
// end, bounded by its deadline.

#include <utility>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/base/task.h"
#include "google/protobuf/message.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "services/accept/call_gate.h"
#include "services/identity/audit.h"
#include "services/identity/caller.h"
#include "services/identity/door.h"

namespace klatch {

// The caller's deadline or limits::kCallDeadlineDefault from now, whichever is sooner.
base::MonotonicTime DeadlineFrom(base::WallTime callers_deadline, const base::Clock& clock);
base::MonotonicTime DeadlineOf(const grpc::CallbackServerContext& context,
                               const base::Clock& clock);

// INVALID_ARGUMENT; with the field where a string is not UTF-8.
absl::Status ParseRequest(const grpc::ByteBuffer& bytes, google::protobuf::Message& request);

absl::Status SerializeResponse(const google::protobuf::Message& response, grpc::ByteBuffer& bytes);
// A response that is bytes already.
absl::Status SerializeResponse(grpc::ByteBuffer response, grpc::ByteBuffer& bytes);

// What a call is told that the gate did not let in.
absl::Status RefusalStatus(CallGate::Pass::Refusal refusal);

// Finishes the context's reactor with what `call` yields. `pass` is given back after that.
grpc::ServerUnaryReactor* RunCall(grpc::CallbackServerContext* context, CallGate::Pass pass,
                                  base::Task<absl::Status> call);

// Runs methods of the form Task<StatusOr<Response>> Method(Request, MonotonicTime deadline), where
// Response is a message or a grpc::ByteBuffer.
class Calls {
 public:
  // `door` outlives it; null: nobody is asked who they are. `audits`: a line of the log for each call of
  // audit.h.
  Calls(const base::Clock& clock, CallGate& gate, Door* door = nullptr, bool audits = false)
      : clock_(clock), gate_(gate), door_(door), audits_(audits) {}

  template <typename Target, typename Base, typename Request, typename Response>
  grpc::ServerUnaryReactor* Run(
      grpc::CallbackServerContext* context, const grpc::ByteBuffer* in, grpc::ByteBuffer* out,
      Target* target,
      base::Task<absl::StatusOr<Response>> (Base::*method)(Request, base::MonotonicTime)) {
    return RunIf(absl::OkStatus(), context, in, out, target, method);
  }

  // The same, or what `admitted` says: then the request is not even read, as who refuses has no time.
  template <typename Target, typename Base, typename Request, typename Response>
  grpc::ServerUnaryReactor* RunIf(
      const absl::Status& admitted, grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* in, grpc::ByteBuffer* out, Target* target,
      base::Task<absl::StatusOr<Response>> (Base::*method)(Request, base::MonotonicTime)) {
    CallGate::Pass pass = gate_.Enter();
    if (!pass.granted()) {
      return Refuse(context, RefusalStatus(pass.refusal()));
    }
    if (!admitted.ok()) {
      return Refuse(context, admitted);
    }
    Caller caller;
    if (door_ != nullptr) {
      absl::StatusOr<Caller> entered = door_->Enter(CredentialsOf(*context), CallOfType<Request>());
      if (!entered.ok()) {
        return Refuse(context, entered.status());
      }
      caller = *std::move(entered);
    }
    const base::MonotonicTime deadline = DeadlineOf(*context, clock_);
    return RunCall(
        context, std::move(pass),
        Answer<Base, Request, Response>(std::move(caller), in, out, target, method, deadline));
  }

 private:
  template <typename Request>
  static const CallName& CallOfType() {
    static const CallName& call = CallOf(*Request::descriptor());
    return call;
  }

  template <typename Base, typename Request, typename Response>
  base::Task<absl::Status> Answer(
      Caller caller, const grpc::ByteBuffer* in, grpc::ByteBuffer* out, Base* target,
      base::Task<absl::StatusOr<Response>> (Base::*method)(Request, base::MonotonicTime),
      base::MonotonicTime deadline) {
    if (clock_.Monotonic() >= deadline) {
      co_return base::Error(absl::StatusCode::kDeadlineExceeded,
                            "the deadline was over on arrival");
    }
    Request request;
    absl::Status parsed = ParseRequest(*in, request);
    if (!parsed.ok()) {
      co_return parsed;
    }
    const AuditLine audit =
        audits_ ? AuditLine(caller, CallOfType<Request>(), request) : AuditLine();
    const absl::Status may_act = CheckActors(caller, request);
    if (!may_act.ok()) {
      co_return audit.End(may_act);
    }
    base::Task<absl::StatusOr<Response>> task = (target->*method)(std::move(request), deadline);
    absl::StatusOr<Response> response = co_await std::move(task);
    if (!audit.End(response.status()).ok()) {
      co_return response.status();
    }
    co_return SerializeResponse(*std::move(response), *out);
  }

  static grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext* context,
                                          const absl::Status& status);

  const base::Clock& clock_;
  CallGate& gate_;
  Door* const door_;
  const bool audits_;
};

}  // namespace klatch
