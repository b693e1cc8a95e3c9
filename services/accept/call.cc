#include "services/accept/call.h"

#include <algorithm>
#include <chrono>
#include <string_view>

#include "grpcpp/support/slice.h"
#include "services/accept/grpc_status.h"
#include "services/accept/wire_check.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

constexpr std::chrono::milliseconds kRetryElsewhereAfter{100};

base::Task<void> FinishWith(grpc::ServerUnaryReactor* reactor, CallGate::Pass pass,
                            base::Task<absl::Status> call) {
  // Given back after Finish: who drains sees the call as under way until it is answered.
  const CallGate::Pass held = std::move(pass);
  const absl::Status status = co_await std::move(call);
  // After Finish neither the reactor nor the call's context, request and response may be touched.
  reactor->Finish(ToGrpcStatus(status));
}

}  // namespace

base::MonotonicTime DeadlineFrom(base::WallTime callers_deadline, const base::Clock& clock) {
  const base::MonotonicTime now = clock.Monotonic();
  const base::WallTime wall_now = clock.Wall();
  // Compared before it is subtracted: "no deadline" is the end of time and would overflow.
  if (callers_deadline >= wall_now + limits::kCallDeadlineDefault) {
    return now + limits::kCallDeadlineDefault;
  }
  if (callers_deadline <= wall_now) {
    return now;
  }
  return now +
         std::chrono::duration_cast<base::MonotonicTime::duration>(callers_deadline - wall_now);
}

base::MonotonicTime DeadlineOf(const grpc::CallbackServerContext& context,
                               const base::Clock& clock) {
  return DeadlineFrom(context.deadline(), clock);
}

absl::Status ParseRequest(const grpc::ByteBuffer& bytes, google::protobuf::Message& request) {
  grpc::Slice slice;
  if (!bytes.TrySingleSlice(&slice).ok() && !bytes.DumpToSingleSlice(&slice).ok()) {
    return base::Error(absl::StatusCode::kInvalidArgument, "the request can't be read");
  }
  if (request.ParseFromArray(slice.begin(), static_cast<int>(slice.size()))) {
    return absl::OkStatus();
  }
  const std::string_view view(reinterpret_cast<const char*>(slice.begin()), slice.size());
  if (auto field = FindInvalidUtf8(*request.GetDescriptor(), view)) {
    return base::FieldError(absl::StatusCode::kInvalidArgument, *field, "is not UTF-8");
  }
  return base::Error(absl::StatusCode::kInvalidArgument,
                     "the request is no " + request.GetDescriptor()->full_name());
}

absl::Status SerializeResponse(const google::protobuf::Message& response, grpc::ByteBuffer& bytes) {
  const size_t size = response.ByteSizeLong();
  grpc::Slice slice(size);
  // The slice is fresh and nobody else's yet; its interface only has no way to say so.
  auto* const begin = const_cast<uint8_t*>(slice.begin());
  if (response.SerializeWithCachedSizesToArray(begin) != begin + size) {
    return base::Error(absl::StatusCode::kInternal, "the response can't be serialised");
  }
  grpc::ByteBuffer serialised(&slice, 1);
  bytes.Swap(&serialised);
  return absl::OkStatus();
}

absl::Status SerializeResponse(grpc::ByteBuffer response, grpc::ByteBuffer& bytes) {
  bytes.Swap(&response);
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* RunCall(grpc::CallbackServerContext* context, CallGate::Pass pass,
                                  base::Task<absl::Status> call) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  base::Spawn(FinishWith(reactor, std::move(pass), std::move(call)));
  return reactor;
}

absl::Status RefusalStatus(CallGate::Pass::Refusal refusal) {
  if (refusal == CallGate::Pass::Refusal::kFull) {
    absl::Status full = base::RetryLater(absl::StatusCode::kResourceExhausted,
                                         "too many calls are under way", kRetryElsewhereAfter);
    return base::WithReason(std::move(full), "OVERLOADED");
  }
  absl::Status status = base::RetryLater(absl::StatusCode::kUnavailable, "the server is stopping",
                                         kRetryElsewhereAfter);
  return base::WithReason(std::move(status), "DRAINING");
}

grpc::ServerUnaryReactor* Calls::Refuse(grpc::CallbackServerContext* context,
                                        const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

}  // namespace klatch
