#pragma once
// The wire to one Redis: a non-blocking socket with the bytes that are still to be sent and a
// parser of replies. Connection and Pipeline are built on it; nobody else needs it.
//
// hiredis connects and parses. Sending and receiving are done here: hiredis's write raises SIGPIPE
// when the peer is gone, and its output buffer is moved whole after each partial write. So is TLS.
//
// Thread safety: one thread at a time.
// Limits: an array of a reply has at most 4 Mi elements; more is a protocol error (a wrong or
// hostile peer could otherwise reserve gigabytes with ten bytes). Errors: UNAVAILABLE; after one
// the channel is of no use. Reasons: "PROTOCOL_ERROR" when the peer's bytes are no replies, none
// otherwise.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/redis/address.h"
#include "common/redis/command.h"
#include "common/redis/reply.h"
#include "common/redis/tls.h"

namespace klatch::redis {

inline constexpr std::string_view kReasonNotSent = "NOT_SENT";
inline constexpr std::string_view kReasonOutcomeUnknown = "OUTCOME_UNKNOWN";
inline constexpr std::string_view kReasonProtocolError = "PROTOCOL_ERROR";

class Channel {
 public:
  // Waits at most `timeout` until connected.
  static absl::StatusOr<std::unique_ptr<Channel>> Connect(const Address& address,
                                                          std::chrono::milliseconds timeout);
  // Begins to connect. Each time that poll has one of `connect_events`, GoOnConnecting takes it further;
  // true once it is connected.
  static absl::StatusOr<std::unique_ptr<Channel>> StartConnect(const Address& address);
  absl::StatusOr<bool> GoOnConnecting();
  short connect_events() const;

  ~Channel() = default;
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  int fd() const { return context_->fd; }
  // What to poll for once it is connected.
  short events() const;
  // Whether Read makes sense after `revents` of poll.
  bool MayRead(short revents) const;

  // Queues a command for sending. A script's first use on this channel goes as EVAL.
  void Append(const Command& command);
  // Queues a command again after NOSCRIPT. REQUIRES: command.script != nullptr.
  void AppendEval(const Command& command);

  // Sends what the socket takes now.
  absl::Status Write();
  size_t unsent_bytes() const { return out_.size() - out_begin_; }
  // Positions in the stream of bytes that leave: how many were queued and sent since the beginning.
  uint64_t queued_position() const { return sent_position_ + unsent_bytes(); }
  uint64_t sent_position() const { return sent_position_; }

  // Receives what is there now, at most 64 KiB; Next parses it and hands it out.
  absl::Status Read();
  // The next whole reply; nullopt if there is none yet.
  absl::StatusOr<std::optional<Reply>> Next();

 private:
  struct FreeContext {
    void operator()(redisContext* context) const { redisFree(context); }
  };
  using Context = std::unique_ptr<redisContext, FreeContext>;

  explicit Channel(Context context);
  static absl::StatusOr<std::unique_ptr<Channel>> Adopt(Context context, const Address& address);
  absl::Status AwaitHandshake(base::MonotonicTime deadline);
  // How many bytes were taken, or came; 0: not now.
  absl::StatusOr<size_t> Send(const char* bytes, size_t size);
  absl::StatusOr<size_t> Receive(char* bytes, size_t size);

  Context context_;
  std::unique_ptr<Tls> tls_;  // null: plain text. Before its socket goes, which is context_'s
  // What was received and not yet fed to the parser: [in_begin_, in_end_).
  std::unique_ptr<char[]> in_;
  size_t in_begin_ = 0;
  size_t in_end_ = 0;
  // Bytes to send: out_ from out_begin_ on.
  std::string out_;
  size_t out_begin_ = 0;
  uint64_t sent_position_ = 0;
  // SHA-1s of the scripts that went out as EVAL: Redis knows them unless somebody flushed its
  // scripts.
  std::unordered_set<std::string> known_scripts_;
};

// Whether `reply` says that Redis doesn't know the script of an EVALSHA.
bool IsNoScript(ReplyView reply);

}  // namespace klatch::redis
