#pragma once
// The thread of a pipeline and all it owns: socket and queues. Nobody but Pipeline includes this.
//
//   Submit -> queue_ -> waiting_ -> under_way_, slots_ -> callback
//            (mutex)   (the thread's own from here on)
//
// Submitters leave groups in queue_; the thread takes the whole queue at a time, so that what piled
// up while it was busy leaves in one write.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/redis/channel.h"
#include "common/redis/pipeline.h"

namespace klatch::redis {

class SocketPipeline::Loop {
 public:
  Loop(Address address, Options options, std::atomic<bool>& connected);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  static constexpr uint64_t kAnyConnection = 0;

  void Submit(uint64_t connection, std::vector<Command> commands, Callback done);
  // REQUIRES: the loop's thread.
  uint64_t connection() const { return connection_; }
  std::chrono::nanoseconds OldestAge() const;

 private:
  // The commands of one Submit.
  struct Group {
    std::vector<Command> commands;
    Callback done;
    base::MonotonicTime submitted;
    uint64_t connection;  // over which it must go
    size_t bytes = 0;

    // Once it is under way:
    std::vector<Reply> replies;
    size_t unanswered = 0;
    // Where its first byte stands in the channel's stream.
    uint64_t position = 0;
  };

  struct Refusal {
    Callback done;
    absl::Status status;
  };

  enum class State { kPausing, kConnecting, kReady, kRetiring };

  // One of the replies to come: which command of which group it belongs to.
  struct Slot {
    Group* group;
    size_t index;
    enum class Sent { kOnce, kAgain } sent;
  };

  void Run();
  bool Sleep();
  int PollTimeoutMs() const;
  void HandleSocket(short events);
  void HandleDeadlines();
  void HandOutRefusals();

  void StartConnect();
  void FinishConnect();
  void Authenticate();
  void ReadReplies();
  void TakeReply(Reply reply);
  void Finish(Group& group);
  // Takes a group that has been answered, or refused, off the bounds.
  void Discount(size_t commands, size_t bytes);
  void TakeQueue();
  void Fill();
  void Write();
  void Break(const absl::Status& why);
  void FailAll(const absl::Status& why);
  void Wake() const;

  // Immutable after construction.
  const Address address_;
  const Options options_;
  std::atomic<bool>& connected_;
  const int wake_fd_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::deque<std::unique_ptr<Group>> queue_;
  std::deque<Refusal> refusals_;
  size_t unanswered_commands_ = 0;
  size_t unanswered_bytes_ = 0;
  bool stopping_ = false;
  bool asleep_ = false;
  // When the oldest group that the thread has taken was submitted; max() if there is none.
  base::MonotonicTime oldest_taken_ = base::MonotonicTime::max();

  // The thread's own.
  State state_ = State::kPausing;
  std::unique_ptr<Channel> channel_;
  uint64_t connection_ = 0;               // how many there have been
  base::MonotonicTime state_deadline_{};  // Long ago: it connects at once.
  // How long the next pause before connecting will be.
  std::chrono::milliseconds pause_;
  std::string last_error_ = "not connected yet";
  // Taken from queue_, not yet turned into bytes.
  std::deque<std::unique_ptr<Group>> waiting_;
  // Turned into bytes, oldest first; a finished one leaves when it is at the front.
  std::deque<std::unique_ptr<Group>> under_way_;
  std::deque<Slot> slots_;
  // The reply to AUTH comes before those of slots_.
  bool authenticating_ = false;
  bool is_cut_off_ = false;

  // Last, so that the thread finds the rest initialised.
  std::thread thread_;
};

}  // namespace klatch::redis
