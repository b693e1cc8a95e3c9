#pragma once
// A connection that many callers share: one thread sends what callers submit as fast as the socket
// takes it and hands out replies in order. Commands submitted while the thread is busy leave
// together in the next write: group commit.
//
//   absl::StatusOr<Reply> reply = co_await pipeline.Call({"GET", key});
//
// An interface, so that a simulator can stand behind it; SocketPipeline is the one that sends.
//
// Thread safety: every public method from any thread.
// Callbacks run on the pipeline's thread, refusals included, and must not block; they may submit.
// Bound: at most queue_commands_max commands and queue_bytes_max bytes unanswered; past that a call
// fails at once with RESOURCE_EXHAUSTED and nothing is sent. Errors: UNAVAILABLE while there is no
// connection (nothing was sent, reason "NOT_SENT") and for what was in flight when the connection
// broke or call_timeout passed (reason "OUTCOME_UNKNOWN"). It reconnects by itself with a growing
// pause, 10 ms to 1 s; what is submitted while it connects waits for that attempt. An error reply
// of Redis is a Reply (see ToStatus). After a READONLY error (the peer is a replica now) it
// connects anew. A script's first use on a connection goes as EVAL; NOSCRIPT later (SCRIPT FLUSH)
// is answered by one EVAL and never seen by the caller, but that command then runs after those
// behind it.

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/redis/address.h"
#include "common/redis/command.h"
#include "common/redis/cutoff.h"
#include "common/redis/reply.h"

namespace klatch::redis {

class Pipeline {
 public:
  struct Options {
    std::string name = "redis";  // the thread's name
    size_t queue_commands_max = 16384;
    size_t queue_bytes_max = 64 << 20;
    // From Submit to the last reply; past it the connection is given up.
    std::chrono::milliseconds call_timeout{5000};
    std::chrono::milliseconds connect_timeout{1000};
    const Cutoff* cutoff = nullptr;  // null: nobody ends it early
  };
  using Replies = absl::StatusOr<std::vector<Reply>>;
  using Callback = std::function<void(Replies)>;

  virtual ~Pipeline() = default;
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  // Sends `commands` one behind the other; `done` gets as many replies.
  virtual void Submit(std::vector<Command> commands, Callback done) = 0;

  // For what a WATCH guards: which connection it is, counted from 1, that answers at the moment.
  // REQUIRES: called by a callback that got replies; they came over that connection.
  virtual uint64_t connection() const = 0;
  // As Submit, but over that connection only: when it is gone, NOT_SENT.
  virtual void SubmitOver(uint64_t connection, std::vector<Command> commands, Callback done) = 0;

  struct CallAwaiter;     // yields absl::StatusOr<Reply>
  struct CallAllAwaiter;  // yields Replies
  // The coroutine continues on the pipeline's thread.
  CallAwaiter Call(Command command);
  CallAllAwaiter CallAll(std::vector<Command> commands);

  virtual bool connected() const = 0;
  // How long the oldest unanswered command has been here; 0 if there is none.
  virtual std::chrono::nanoseconds OldestAge() const = 0;

 protected:
  Pipeline() = default;
};

// The one that sends over a socket.
class SocketPipeline final : public Pipeline {
 public:
  // Starts the thread; it connects in the background.
  SocketPipeline(Address address, Options options);
  // Fails what is unanswered, joins the thread. REQUIRES: not called by a callback.
  ~SocketPipeline() override;

  void Submit(std::vector<Command> commands, Callback done) override;
  uint64_t connection() const override;
  void SubmitOver(uint64_t connection, std::vector<Command> commands, Callback done) override;
  bool connected() const override { return connected_.load(std::memory_order_relaxed); }
  std::chrono::nanoseconds OldestAge() const override;

 private:
  class Loop;  // the thread's state: socket, queues
  // A gauge for /readyz and admission; publishes nothing. Set by the loop's thread, so it outlives
  // it.
  std::atomic<bool> connected_{false};
  std::unique_ptr<Loop> loop_;
};

struct Pipeline::CallAllAwaiter {
  Pipeline& pipeline;
  std::vector<Command> commands;
  Replies result = absl::UnknownError("not called");

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    pipeline.Submit(std::move(commands), [this, handle](Replies replies) {
      result = std::move(replies);
      handle.resume();
    });
  }
  Replies await_resume() { return std::move(result); }
};

struct Pipeline::CallAwaiter {
  CallAllAwaiter all;

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) { all.await_suspend(handle); }
  absl::StatusOr<Reply> await_resume() {
    if (!all.result.ok()) {
      return all.result.status();
    }
    return std::move(all.result->front());
  }
};

inline Pipeline::CallAllAwaiter Pipeline::CallAll(std::vector<Command> commands) {
  return CallAllAwaiter{*this, std::move(commands)};
}

inline Pipeline::CallAwaiter Pipeline::Call(Command command) {
  std::vector<Command> commands;
  commands.push_back(std::move(command));
  return CallAwaiter{CallAll(std::move(commands))};
}

}  // namespace klatch::redis
