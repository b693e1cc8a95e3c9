#include "bench/load/calls/retry.h"

#include <algorithm>

#include "google/rpc/error_details.pb.h"

namespace klatch::load {
namespace {

constexpr std::chrono::milliseconds kPauseMax{250};
constexpr std::chrono::milliseconds kHintMax{5000};

}  // namespace

grpc::Status ToGrpcStatus(const google::rpc::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), status.message(),
                      status.SerializeAsString());
}

bool MayHelpToRetry(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    // A connection that breaks under a call may also end it with one of these.
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::UNKNOWN:
      return true;
    default:
      return false;
  }
}

bool IsOverload(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
}

bool MayHaveHappened(const grpc::Status& status) {
  return MayHelpToRetry(status) && !IsOverload(status);
}

std::chrono::milliseconds RetryAfter(const grpc::Status& status) {
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) {
    return {};
  }
  for (const google::protobuf::Any& detail : details.details()) {
    google::rpc::RetryInfo info;
    if (detail.UnpackTo(&info)) {
      std::chrono::milliseconds hint =
          std::chrono::seconds(info.retry_delay().seconds()) +
          std::chrono::milliseconds(info.retry_delay().nanos() / 1'000'000);
      return std::clamp(hint, std::chrono::milliseconds(0), kHintMax);
    }
  }
  return {};
}

Retry::Retry(const Client::Options& options, RunState& state)
    : state_(state),
      retry_for_(options.retry_for),
      sheds_(options.sheds),
      end_(std::chrono::steady_clock::now() + retry_for_) {}

std::optional<std::chrono::milliseconds> Retry::PauseAfter(const grpc::Status& status) {
  if (status.ok() || !MayHelpToRetry(status)) {
    state_.last_answer_ms.store(SteadyMilliseconds(), std::memory_order_relaxed);
    return std::nullopt;
  }
  may_have_happened_ = may_have_happened_ || MayHaveHappened(status);
  if (IsOverload(status)) {
    state_.last_answer_ms.store(SteadyMilliseconds(), std::memory_order_relaxed);
    if (sheds_) {
      return std::nullopt;
    }
  }
  std::chrono::milliseconds pause = std::max(RetryAfter(status), next_pause_);
  next_pause_ = std::min(next_pause_ * 2, kPauseMax);
  if (std::chrono::steady_clock::now() + pause >= end_) {
    int64_t silent_ms =
        SteadyMilliseconds() - state_.last_answer_ms.load(std::memory_order_relaxed);
    if (silent_ms > retry_for_.count() * 9 / 10) {
      state_.server_gone.store(true, std::memory_order_relaxed);
    }
    return std::nullopt;
  }
  if (state_.MustStop()) {
    return std::nullopt;
  }
  state_.retries.fetch_add(1, std::memory_order_relaxed);
  return pause;
}

Certainty Retry::CertaintyOf(const grpc::Status& status) const {
  if (status.ok()) {
    return Certainty::kDone;
  }
  // A definite answer is definite about the tries before it too: the idempotency key decides.
  bool undecided = MayHelpToRetry(status) && may_have_happened_;
  return undecided ? Certainty::kUnknown : Certainty::kRefused;
}

}  // namespace klatch::load
