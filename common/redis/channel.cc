#include "common/redis/channel.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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
  const timeval tv = ToTimeval(timeout);
  return Adopt(Context(address.is_unix()
                           ? redisConnectUnixWithTimeout(address.socket_path.c_str(), tv)
                           : redisConnectWithTimeout(address.host.c_str(), address.port, tv)));
}

absl::StatusOr<std::unique_ptr<Channel>> Channel::StartConnect(const Address& address) {
  KLATCH_RETURN_IF_ERROR(CheckPath(address));
  return Adopt(Context(address.is_unix()
                           ? redisConnectUnixNonBlock(address.socket_path.c_str())
                           : redisConnectNonBlock(address.host.c_str(), address.port)));
}

absl::StatusOr<std::unique_ptr<Channel>> Channel::Adopt(Context context) {
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
  return std::unique_ptr<Channel>(new Channel(std::move(context)));
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

absl::Status Channel::CheckConnected() {
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(fd(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
    error = errno;
  }
  return error == 0 ? absl::OkStatus()
                    : Unavailable(fmt::format("cannot connect: {}", ErrorText(error)));
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

absl::Status Channel::Write() {
  while (unsent_bytes() > 0) {
    const ssize_t n = send(fd(), out_.data() + out_begin_, unsent_bytes(), MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) {
        continue;
      }
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        break;
      }
      return Unavailable(fmt::format("cannot send: {}", ErrorText(errno)));
    }
    out_begin_ += static_cast<size_t>(n);
    sent_position_ += static_cast<uint64_t>(n);
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
  ssize_t n;
  do {
    n = recv(fd(), in_.get(), kReadBytesMax, 0);
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    return errno == EAGAIN || errno == EWOULDBLOCK
               ? absl::OkStatus()
               : Unavailable(fmt::format("cannot receive: {}", ErrorText(errno)));
  }
  if (n == 0) {
    return Unavailable("the connection was closed by the peer");
  }
  in_begin_ = 0;
  in_end_ = static_cast<size_t>(n);
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
