#include "common/redis/channel.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace klatch::redis {
namespace {

constexpr size_t kReadBytesMax = 64 << 10;
// hiredis 0.14 moves the rest of its buffer forward after each KiB of replies, so it is fed little.
constexpr size_t kFeedBytesMax = 8 << 10;
// How much memory an idle parser may keep.
constexpr size_t kParserBytesKeptMax = 256 << 10;
constexpr size_t kArrayElementsMax = 4 << 20;
constexpr std::string_view kCannotConnect = "cannot connect";

absl::Status Unavailable(std::string_view what) {
  return base::Error(absl::StatusCode::kUnavailable, what);
}

std::string ErrorText(int error) { return std::generic_category().message(error); }

// hiredis's own constructor behind a bound. Returning null makes the parser fail. The type of
// `elements` differs between hiredis 0.14 (int) and 1.x (size_t).
template <typename Count>
void* CreateBoundedArray(const redisReadTask* task, Count elements) {
  if (static_cast<size_t>(elements) > kArrayElementsMax) {
    return nullptr;
  }
  const auto* original = static_cast<const redisReplyObjectFunctions*>(task->privdata);
  return original->createArray(task, elements);
}

timeval ToTimeval(std::chrono::milliseconds duration) {
  timeval value{};
  value.tv_sec = duration.count() / 1000;
  value.tv_usec = (duration.count() % 1000) * 1000;
  return value;
}

absl::Status CheckPath(const Address& address) {
  // hiredis would cut a longer path and connect to another socket.
  if (address.socket_path.size() >= sizeof(sockaddr_un::sun_path)) {
    return base::Error(absl::StatusCode::kInvalidArgument,
                       fmt::format("the socket's path has {} bytes, at most {} are possible",
                                   address.socket_path.size(), sizeof(sockaddr_un::sun_path) - 1));
  }
  return absl::OkStatus();
}

}  // namespace

bool IsNoScript(ReplyView reply) {
  return reply.is_error() && reply.text().starts_with("NOSCRIPT");
}

absl::StatusOr<std::unique_ptr<Channel>> Channel::Connect(const Address& address,
                                                          std::chrono::milliseconds timeout) {
  KLATCH_RETURN_IF_ERROR(CheckPath(address));
  const base::MonotonicTime deadline = std::chrono::steady_clock::now() + timeout;
  const timeval tv = ToTimeval(timeout);
  KLATCH_ASSIGN_OR_RETURN(
      std::unique_ptr<Channel> channel,
      Adopt(Context(address.is_unix()
                        ? redisConnectUnixWithTimeout(address.socket_path.c_str(), tv)
                        : redisConnectWithTimeout(address.host.c_str(), address.port, tv)),
            address));
  if (channel->tls_ != nullptr) {
    KLATCH_RETURN_IF_ERROR(channel->AwaitHandshake(deadline));
  }
  return channel;
}

absl::Status Channel::AwaitHandshake(base::MonotonicTime deadline) {
  while (true) {
    const absl::StatusOr<bool> is_done = tls_->Handshake();
    if (!is_done.ok()) {
      return base::Annotate(is_done.status(), kCannotConnect);
    }
    if (*is_done) {
      return absl::OkStatus();
    }
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd socket{fd(), tls_->events(false), 0};
    if (left.count() <= 0 || poll(&socket, 1, static_cast<int>(left.count())) == 0) {
      return base::Annotate(Unavailable("TLS: no answer in time (a port for plain text?)"),
                            kCannotConnect);
    }
  }
}

absl::StatusOr<std::unique_ptr<Channel>> Channel::StartConnect(const Address& address) {
  KLATCH_RETURN_IF_ERROR(CheckPath(address));
  return Adopt(
      Context(address.is_unix() ? redisConnectUnixNonBlock(address.socket_path.c_str())
                                : redisConnectNonBlock(address.host.c_str(), address.port)),
      address);
}

absl::StatusOr<std::unique_ptr<Channel>> Channel::Adopt(Context context, const Address& address) {
  if (context == nullptr) {
    return base::Error(absl::StatusCode::kResourceExhausted, "no memory for a connection");
  }
  if (context->err != 0) {
    return Unavailable(fmt::format("cannot connect: {}", context->errstr));
  }
  const int fd = context->fd;
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
      fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) {
    return Unavailable(fmt::format("cannot set up the socket: {}", ErrorText(errno)));
  }
  if (context->connection_type == REDIS_CONN_TCP) {
    // A pipelined write must leave at once, not wait for the answer to the one before. Without it
    // everything still works, only slower.
    const int one = 1;
    static_cast<void>(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
  }
  std::unique_ptr<Tls> tls;
  if (address.tls) {
    absl::StatusOr<std::unique_ptr<Tls>> opened = Tls::Open(*address.tls, address.host, fd);
    if (!opened.ok()) {
      // Files may be on their way to being replaced.
      return Unavailable(
          fmt::format("{}: TLS: {}", kCannotConnect, base::MessageOf(opened.status())));
    }
    tls = *std::move(opened);
  }
  std::unique_ptr<Channel> channel(new Channel(std::move(context)));
  channel->tls_ = std::move(tls);
  return channel;
}

Channel::Channel(Context context)
    : context_(std::move(context)), in_(std::make_unique<char[]>(kReadBytesMax)) {
  static const redisReplyObjectFunctions* const original = context_->reader->fn;
  static redisReplyObjectFunctions bounded = [] {
    redisReplyObjectFunctions functions = *original;
    functions.createArray = &CreateBoundedArray;
    return functions;
  }();
  context_->reader->fn = &bounded;
  context_->reader->maxbuf = kParserBytesKeptMax;
  context_->reader->privdata = const_cast<redisReplyObjectFunctions*>(original);
}

absl::StatusOr<bool> Channel::GoOnConnecting() {
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(fd(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
    error = errno;
  }
  if (error != 0) {
    return Unavailable(fmt::format("cannot connect: {}", ErrorText(error)));
  }
  if (tls_ != nullptr) {
    absl::StatusOr<bool> is_done = tls_->Handshake();
    return is_done.ok() ? is_done : base::Annotate(is_done.status(), kCannotConnect);
  }
  return true;
}

short Channel::connect_events() const { return tls_ == nullptr ? POLLOUT : tls_->events(false); }

short Channel::events() const {
  const bool has_unsent = unsent_bytes() > 0;
  if (tls_ != nullptr) {
    return tls_->events(has_unsent);
  }
  return has_unsent ? POLLIN | POLLOUT : POLLIN;
}

bool Channel::MayRead(short revents) const {
  // By TLS what is to be read may have waited until something could be sent.
  return (revents & ~POLLOUT) != 0 || tls_ != nullptr;
}

void Channel::Append(const Command& command) {
  if (command.script != nullptr && !known_scripts_.contains(command.script->sha1_hex())) {
    AppendEval(command);
    return;
  }
  command.AppendTo(out_);
}

void Channel::AppendEval(const Command& command) {
  command.AppendEvalTo(out_);
  known_scripts_.insert(command.script->sha1_hex());
}

absl::StatusOr<size_t> Channel::Send(const char* bytes, size_t size) {
  if (tls_ != nullptr) {
    return tls_->Send(bytes, size);
  }
  ssize_t n;
  do {
    n = send(fd(), bytes, size, MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n >= 0) {
    return static_cast<size_t>(n);
  }
  return errno == EAGAIN || errno == EWOULDBLOCK
             ? absl::StatusOr<size_t>(0)
             : Unavailable(fmt::format("cannot send: {}", ErrorText(errno)));
}

absl::StatusOr<size_t> Channel::Receive(char* bytes, size_t size) {
  if (tls_ != nullptr) {
    return tls_->Receive(bytes, size);
  }
  ssize_t n;
  do {
    n = recv(fd(), bytes, size, 0);
  } while (n < 0 && errno == EINTR);
  if (n > 0) {
    return static_cast<size_t>(n);
  }
  if (n == 0) {
    return Unavailable("the connection was closed by the peer");
  }
  return errno == EAGAIN || errno == EWOULDBLOCK
             ? absl::StatusOr<size_t>(0)
             : Unavailable(fmt::format("cannot receive: {}", ErrorText(errno)));
}

absl::Status Channel::Write() {
  while (unsent_bytes() > 0) {
    KLATCH_ASSIGN_OR_RETURN(const size_t n, Send(out_.data() + out_begin_, unsent_bytes()));
    if (n == 0) {
      break;
    }
    out_begin_ += n;
    sent_position_ += n;
  }
  // The front is dropped when it is at least half, so that each byte is moved once at most.
  if (out_begin_ * 2 >= out_.size()) {
    out_.erase(0, out_begin_);
    out_begin_ = 0;
  }
  return absl::OkStatus();
}

absl::Status Channel::Read() {
  if (in_begin_ < in_end_) {
    return absl::OkStatus();  // The last one has not been consumed.
  }
  in_begin_ = 0;
  in_end_ = 0;
  KLATCH_ASSIGN_OR_RETURN(in_end_, Receive(in_.get(), kReadBytesMax));
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Reply>> Channel::Next() {
  redisReader* reader = context_->reader;
  while (true) {
    void* reply = nullptr;
    if (redisReaderGetReply(reader, &reply) != REDIS_OK) {
      return base::WithReason(
          Unavailable(fmt::format("the peer does not speak Redis's protocol: {}", reader->errstr)),
          kReasonProtocolError);
    }
    if (reply != nullptr) {
      return std::optional<Reply>(Reply(static_cast<redisReply*>(reply)));
    }
    if (in_begin_ == in_end_) {
      return std::optional<Reply>();
    }
    const size_t n = std::min(in_end_ - in_begin_, kFeedBytesMax);
    if (redisReaderFeed(reader, in_.get() + in_begin_, n) != REDIS_OK) {
      return Unavailable(fmt::format("cannot parse: {}", reader->errstr));
    }
    in_begin_ += n;
  }
}

}  // namespace klatch::redis
