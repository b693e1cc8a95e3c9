#include "services/klatch/client.h"

#include <fmt/format.h>
#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>

#include <algorithm>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "absl/strings/cord.h"
#include "common/base/status.h"
#include "services/klatch/text.h"

namespace klatch::cli {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::system_clock;

constexpr char kDetailsUrl[] = "klatch/grpc_details";
constexpr char kUnreachableReason[] = "UNREACHABLE";

bool RetryHelps(grpc::StatusCode code) {
  return code == grpc::StatusCode::UNAVAILABLE || code == grpc::StatusCode::RESOURCE_EXHAUSTED;
}

std::optional<milliseconds> RetryDelayOf(const google::rpc::Status& details) {
  google::rpc::RetryInfo info;
  for (const auto& any : details.details()) {
    if (any.Is<google::rpc::RetryInfo>() && any.UnpackTo(&info)) {
      const auto& delay = info.retry_delay();
      return milliseconds(delay.seconds() * 1000 + delay.nanos() / 1'000'000);
    }
  }
  return std::nullopt;
}

google::rpc::Status DetailsOf(const std::string& serialised) {
  google::rpc::Status details;
  if (!details.ParseFromString(serialised)) {
    details.Clear();
  }
  return details;
}

grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(-1);
  return arguments;
}

std::string DescribeDetail(const google::protobuf::Any& any) {
  std::string text;
  google::rpc::BadRequest bad_request;
  google::rpc::ErrorInfo info;
  if (any.Is<google::rpc::BadRequest>() && any.UnpackTo(&bad_request)) {
    for (const auto& violation : bad_request.field_violations()) {
      text += fmt::format("\n  {}: {}", CleanLine(violation.field()),
                          CleanLine(violation.description()));
    }
  } else if (any.Is<google::rpc::ErrorInfo>() && any.UnpackTo(&info)) {
    text += fmt::format("\n  reason: {}", CleanLine(info.reason()));
  }
  return text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Open(ClientOptions options) {
  KLATCH_ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel,
                          OpenChannel(options.target, options.access, Arguments()));
  return std::make_unique<Client>(std::move(options), std::move(channel));
}

Client::Client(ClientOptions options, std::shared_ptr<grpc::Channel> channel)
    : options_(std::move(options)),
      channel_(std::move(channel)),
      feed_(v1::FeedService::NewStub(channel_)),
      groups_(v1::GroupService::NewStub(channel_)),
      persons_(v1::PersonService::NewStub(channel_)),
      imports_(v1::ImportService::NewStub(channel_)),
      admin_(v1::AdminService::NewStub(channel_)) {}

absl::Status Client::Connect() {
  const auto deadline = Clock::now() + options_.timeout;
  grpc_connectivity_state state = channel_->GetState(/*try_to_connect=*/true);
  while (state != GRPC_CHANNEL_READY) {
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN) {
      return Unreachable(options_.access.ca_file.empty()
                             ? "nothing accepts connections there, or not without TLS"
                             : "nothing accepts connections there, or not with this certificate, "
                               "or its own is not of that authority and name");
    }
    if (!channel_->WaitForStateChange(state, deadline)) {
      return Unreachable(fmt::format("no answer within {} ms", options_.timeout.count()));
    }
    state = channel_->GetState(/*try_to_connect=*/true);
  }
  return absl::OkStatus();
}

absl::Status Client::CallWithRetries(
    const std::function<grpc::Status(grpc::ClientContext&)>& attempt) {
  const auto deadline = Clock::now() + options_.timeout;
  milliseconds pause = options_.first_pause;
  while (true) {
    grpc::ClientContext context;
    context.set_deadline(deadline);
    const grpc::Status status = attempt(context);
    if (status.ok()) {
      return absl::OkStatus();
    }
    const auto asked_for = RetryDelayOf(DetailsOf(status.error_details()));
    const milliseconds wait = std::max(asked_for.value_or(pause), milliseconds(1));
    if (!RetryHelps(status.error_code()) || Clock::now() + wait >= deadline || !Pause(wait)) {
      // An error with details is a server's; one without, while nothing is connected, is gRPC's
      // own.
      const bool no_server = status.error_code() == grpc::StatusCode::UNAVAILABLE &&
                             status.error_details().empty() &&
                             channel_->GetState(false) != GRPC_CHANNEL_READY;
      return no_server ? Unreachable(status.error_message()) : FromGrpc(status);
    }
    pause = std::min(pause * 2, options_.first_pause * 20);
  }
}

bool Client::Pause(milliseconds wait) const {
  constexpr milliseconds kLook{20};
  for (const auto until = Clock::now() + wait; Clock::now() < until;) {
    // relaxed: a flag on its own.
    if (options_.interrupted != nullptr && options_.interrupted->load(std::memory_order_relaxed)) {
      return false;
    }
    std::this_thread::sleep_for(std::min<Clock::duration>(kLook, until - Clock::now()));
  }
  return true;
}

absl::Status Client::Unreachable(std::string_view why) const {
  return base::WithReason(
      base::Error(absl::StatusCode::kUnavailable,
                  fmt::format("can't reach Klatch at {}: {}; is klatchd running (deploy/up), "
                              "and is --target or KLATCH_TARGET right?",
                              options_.target, why)),
      kUnreachableReason);
}

absl::Status FromGrpc(const grpc::Status& status) {
  absl::Status result =
      base::Error(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  if (!status.error_details().empty()) {
    result.SetPayload(kDetailsUrl, absl::Cord(status.error_details()));
  }
  return result;
}

bool IsUnreachable(const absl::Status& status) {
  return base::ReasonOf(status) == kUnreachableReason;
}

std::string DescribeError(const absl::Status& status) {
  const std::string message = CleanLine(base::MessageOf(status));
  if (IsUnreachable(status)) {
    return message;
  }
  std::string text = fmt::format("{}: {}", absl::StatusCodeToString(status.code()), message);
  const auto payload = status.GetPayload(kDetailsUrl);
  if (!payload) {
    return text;
  }
  const google::rpc::Status details = DetailsOf(std::string(*payload));
  for (const auto& any : details.details()) {
    text += DescribeDetail(any);
  }
  if (const auto delay = RetryDelayOf(details)) {
    text += fmt::format("\n  try again in {} ms", delay->count());
  }
  return text;
}

std::string NewRequestId() {
  // One device per call: it is rare (once per write) and std::random_device is not thread-safe.
  std::random_device device;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", device(), device(), device(), device());
}

}  // namespace klatch::cli
