#include "common/redis/connection.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <string>

#include "common/redis/channel.h"

namespace klatch::redis {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

// Commands are turned into bytes only while less than this waits to be sent.
constexpr size_t kUnsentBytesMax = 1 << 20;

struct ErrorCode {
  std::string_view prefix;
  absl::StatusCode code;
};

constexpr ErrorCode kErrorCodes[] = {
    {"READONLY", absl::StatusCode::kUnavailable},
    {"LOADING", absl::StatusCode::kUnavailable},
    {"MASTERDOWN", absl::StatusCode::kUnavailable},
    {"CLUSTERDOWN", absl::StatusCode::kUnavailable},
    {"TRYAGAIN", absl::StatusCode::kUnavailable},
    {"BUSY", absl::StatusCode::kUnavailable},
    {"MISCONF", absl::StatusCode::kUnavailable},
    {"NOREPLICAS", absl::StatusCode::kUnavailable},
    {"OOM", absl::StatusCode::kResourceExhausted},
    {"WRONGTYPE", absl::StatusCode::kFailedPrecondition},
};

// It is this program that Redis turns away, not whoever it works for.
constexpr std::string_view kReasonRefusesUser = "REDIS_REFUSES_USER";
constexpr std::string_view kRefusals[] = {"NOAUTH", "WRONGPASS", "NOPERM", "DENIED"};

// Waits for `events` on `fd`; 0 when `deadline` has passed, or the cutoff was cut.
int PollUntil(int fd, short events, SteadyTime deadline, const Cutoff* cutoff) {
  while (true) {
    auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd descriptors[2] = {{fd, events, 0}, {cutoff ? cutoff->fd() : -1, POLLIN, 0}};
    const int timeout_ms = static_cast<int>(std::max<int64_t>(left.count(), 0));
    const int n = poll(descriptors, 2, timeout_ms);
    if (cutoff && cutoff->is_cut()) {
      return 0;
    }
    if (n > 0) {
      return descriptors[0].revents;
    }
    if (n == 0 && timeout_ms == 0) {
      return 0;
    }
    if (n < 0 && errno != EINTR) {
      return POLLERR;
    }
  }
}

// What CallAll keeps about its commands while they are under way.
struct Batch {
  std::span<const Command> commands;
  std::vector<Reply> replies;
  // Commands [0, appended) have been turned into bytes.
  size_t appended = 0;
  size_t answered = 0;
  // The index of the command that each reply to come belongs to, in order of sending.
  std::deque<size_t> expected;
  // A command that answered NOSCRIPT to EVAL must not be sent a third time.
  std::vector<bool> sent_again;
};

class SocketConnection final : public Connection {
 public:
  SocketConnection(Address address, Options options)
      : Connection(std::move(address)), options_(options) {}

  absl::StatusOr<std::vector<Reply>> CallAll(std::span<const Command> commands) override;
  bool connected() const override { return channel_ != nullptr; }
  absl::Status Reconnect() override;

 private:
  absl::Status Authenticate();
  absl::Status Exchange(Batch& batch);
  absl::Status TakeReplies(Batch& batch);
  bool IsCutOff() const { return options_.cutoff != nullptr && options_.cutoff->is_cut(); }
  // Closes the connection; returns `status` with the address before it.
  absl::Status Fail(const absl::Status& status);

  const Options options_;
  // Null while closed.
  std::unique_ptr<Channel> channel_;
};

}  // namespace

absl::Status ToStatus(ReplyView reply) {
  if (!reply.is_error()) {
    return absl::OkStatus();
  }
  const std::string_view text = reply.text();
  const std::string_view word = text.substr(0, text.find(' '));
  absl::StatusCode code = absl::StatusCode::kInternal;
  for (const ErrorCode& entry : kErrorCodes) {
    if (word == entry.prefix) {
      code = entry.code;
    }
  }
  if (text.starts_with("ERR max number of clients reached")) {
    code = absl::StatusCode::kUnavailable;
  }
  if (std::ranges::find(kRefusals, word) != std::end(kRefusals)) {
    return base::WithReason(
        base::Error(absl::StatusCode::kUnavailable, fmt::format("Redis: {}", text)),
        kReasonRefusesUser);
  }
  return base::Error(code, fmt::format("Redis: {}", text));
}

bool RefusesUser(const absl::Status& status) {
  return base::ReasonOf(status) == kReasonRefusesUser;
}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Connect(const Address& address,
                                                                const Options& options) {
  auto connection = std::make_unique<SocketConnection>(address, options);
  KLATCH_RETURN_IF_ERROR(connection->Reconnect());
  return connection;
}

absl::Status SocketConnection::Reconnect() {
  channel_.reset();
  if (IsCutOff()) {
    return base::WithReason(base::Error(absl::StatusCode::kUnavailable, "given up"),
                            kReasonNotSent);
  }
  auto channel = Channel::Connect(address(), options_.connect_timeout);
  if (!channel.ok()) {
    return base::WithReason(base::Annotate(channel.status(), address().ToString()), kReasonNotSent);
  }
  channel_ = *std::move(channel);
  return Authenticate();
}

absl::Status SocketConnection::Authenticate() {
  if (address().password.empty()) {
    return absl::OkStatus();
  }
  Command auth{"AUTH"};
  if (!address().user.empty()) {
    auth.args.push_back(address().user);
  }
  auth.args.push_back(address().password);
  absl::StatusOr<Reply> reply = Call(auth);
  if (reply.ok()) {
    return absl::OkStatus();
  }
  channel_.reset();
  absl::Status status = reply.status();
  if (base::ReasonOf(status) == kReasonProtocolError) {
    return base::Error(absl::StatusCode::kFailedPrecondition,
                       fmt::format("{}: not a Redis (wrong port?)", address().ToString()));
  }
  if (absl::IsUnavailable(status) && !RefusesUser(status)) {
    return status;
  }
  return base::Error(absl::StatusCode::kPermissionDenied,
                     fmt::format("{}: Redis refuses user or password: {}", address().ToString(),
                                 base::MessageOf(status)));
}

absl::StatusOr<Reply> Connection::Call(const Command& command) {
  KLATCH_ASSIGN_OR_RETURN(auto replies, CallAll(std::span<const Command>(&command, 1)));
  KLATCH_RETURN_IF_ERROR(ToStatus(replies[0].view()));
  return std::move(replies[0]);
}

absl::StatusOr<std::vector<Reply>> SocketConnection::CallAll(std::span<const Command> commands) {
  if (channel_ == nullptr) {
    return base::WithReason(base::Error(absl::StatusCode::kUnavailable,
                                        fmt::format("{}: not connected", address().ToString())),
                            kReasonNotSent);
  }
  Batch batch;
  batch.commands = commands;
  batch.replies.resize(commands.size());
  batch.sent_again.resize(commands.size());
  absl::Status status = Exchange(batch);
  if (!status.ok()) {
    return Fail(status);
  }
  return std::move(batch.replies);
}

// Sends and receives in turns until every command is answered or nothing arrives for call_timeout.
absl::Status SocketConnection::Exchange(Batch& batch) {
  SteadyTime deadline = std::chrono::steady_clock::now() + options_.call_timeout;
  while (batch.answered < batch.commands.size()) {
    while (batch.appended < batch.commands.size() && channel_->unsent_bytes() < kUnsentBytesMax) {
      channel_->Append(batch.commands[batch.appended]);
      batch.expected.push_back(batch.appended++);
    }
    KLATCH_RETURN_IF_ERROR(channel_->Write());
    const int ready = PollUntil(channel_->fd(), channel_->events(), deadline, options_.cutoff);
    if (IsCutOff()) {
      return base::Error(absl::StatusCode::kUnavailable, "given up");
    }
    if (ready == 0) {
      return base::Error(absl::StatusCode::kUnavailable,
                         fmt::format("no answer within {} ms", options_.call_timeout.count()));
    }
    if (channel_->MayRead(static_cast<short>(ready))) {
      const size_t answered_before = batch.answered;
      KLATCH_RETURN_IF_ERROR(channel_->Read());
      KLATCH_RETURN_IF_ERROR(TakeReplies(batch));
      if (batch.answered > answered_before) {
        deadline = std::chrono::steady_clock::now() + options_.call_timeout;
      }
    }
  }
  return absl::OkStatus();
}

absl::Status SocketConnection::TakeReplies(Batch& batch) {
  while (true) {
    KLATCH_ASSIGN_OR_RETURN(std::optional<Reply> reply, channel_->Next());
    if (!reply) {
      return absl::OkStatus();
    }
    if (batch.expected.empty()) {
      return base::WithReason(base::Error(absl::StatusCode::kUnavailable,
                                          "the peer sent a reply that nobody asked for"),
                              kReasonProtocolError);
    }
    const size_t index = batch.expected.front();
    batch.expected.pop_front();
    const Command& command = batch.commands[index];
    if (command.script != nullptr && !batch.sent_again[index] && IsNoScript(reply->view())) {
      batch.sent_again[index] = true;
      channel_->AppendEval(command);
      batch.expected.push_back(index);
      continue;
    }
    batch.replies[index] = *std::move(reply);
    ++batch.answered;
  }
}

absl::Status SocketConnection::Fail(const absl::Status& status) {
  channel_.reset();
  absl::Status annotated = base::Annotate(status, address().ToString());
  return base::ReasonOf(status) ? annotated : base::WithReason(annotated, kReasonOutcomeUnknown);
}

}  // namespace klatch::redis
