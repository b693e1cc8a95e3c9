#pragma once
// Where updates wait for their way into the log. They go in rounds, one at a time, so that the next takes
// what several calls brought meanwhile, and what goes together costs Redis less:
//
//   MULTI … EXEC of what was looked at ─▶ scripts for what can't go so ─▶ questions about the next
//
// One round is one round trip, and an update takes two. When a transaction fails, everything at hand goes by scripts,
// and so do some of the next rounds: others write to these logs then. Who else writes to Redis, the
// flushers above all, never stands behind more than two rounds' updates.
//
// Thread safety: every method from any thread. A call's coroutine continues on the pipeline's thread,
// or at once on its own if nothing of it could be taken. Nobody else may WATCH over the pipeline.
// Order: updates of one call, and calls of one origin and shard, are sent in the order in which they came.
// Bounds: kWaitingMax updates of kWaitingBytesMax bytes; past that RESOURCE_EXHAUSTED. What has waited
// for `wait_max` fails with UNAVAILABLE, reason NOT_SENT.

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/redis/pipeline.h"
#include "services/log/appender.h"
#include "services/log/publish_transaction.h"
#include "services/log/publish_words.h"

namespace klatch {

class PublishQueue {
 public:
  static constexpr size_t kPerRoundMax = 64;
  static constexpr size_t kPerRoundMin = 2;  // whatever the share
  static constexpr size_t kPerLaneMax = 16;  // before others have their turn
  static constexpr size_t kBytesPerRoundMax = 256 << 10;
  static constexpr size_t kPerScriptMax = 16;
  static constexpr size_t kBytesPerScriptMax = 128 << 10;
  static constexpr size_t kWaitingMax = 32'768;
  static constexpr size_t kWaitingBytesMax = 64 << 20;
  static constexpr uint32_t kScriptRoundsMax = 63;

  using Results = std::vector<absl::StatusOr<Appended>>;

  // `wait_max`: how long an update may wait here; `open_share`: the part of kPerRoundMax that may be
  // used now, from 0 to 1, asked by any thread. `pipeline` and `words` outlive this.
  PublishQueue(redis::Pipeline& pipeline, const PublishWords& words, uint32_t shard_count,
               std::chrono::milliseconds wait_max, std::function<double()> open_share);

  struct Awaiter;  // yields Results
  // `commands` belong to that shard and outlive the wait.
  Awaiter Publish(UpdateOrigin origin, ShardIndex shard,
                  const std::vector<PublishCommand>& commands);

  // How long the first of those that wait has been here, to within a round over the lanes; 0 if none
  // does.
  std::chrono::nanoseconds OldestAge() const;
  // How long an update that came now would wait here, at the pace of the last rounds.
  std::chrono::nanoseconds ExpectedWait() const;

  // Updates written by transactions and by scripts since the start; repetitions write nothing.
  uint64_t by_transaction() const { return by_transaction_.load(std::memory_order_relaxed); }
  uint64_t by_script() const { return by_script_.load(std::memory_order_relaxed); }
  // Transactions that wrote nothing, since somebody else had appended.
  uint64_t stopped() const { return stopped_.load(std::memory_order_relaxed); }

 private:
  // What one call brought.
  struct Call {
    const std::vector<PublishCommand>& commands;
    UpdateOrigin origin;
    size_t lane;
    base::MonotonicTime submitted{};
    size_t taken = 0;     // of the commands, by rounds
    size_t answered = 0;  // of the commands
    Results results{};
    std::coroutine_handle<> handle{};
  };
  struct Post {
    Call* call;
    size_t place;  // in the call

    const PublishCommand& command() const { return call->commands[place]; }
  };
  struct Batch {
    Batch(const PublishWords& words, std::vector<Post> of)
        : posts(std::move(of)), transaction(words) {}

    std::vector<Post> posts;  // those of a lane in its order
    PublishTransaction transaction;
  };
  // How long the rounds of the last updates took; each round counts by what it took along, so that those of a node with
  // little to do soon count for little. One that took much longer than others says that Redis stood still, not how
  // fast it goes: only so much of it counts.
  class Pace {
   public:
    void Add(size_t updates, std::chrono::nanoseconds took);
    // 0 if there was none yet.
    double RoundSeconds() const;

   private:
    double updates_ = 0;
    double seconds_ = 0;  // times updates
  };
  // Updates of one lane.
  struct Script {
    std::vector<Post> posts;
    size_t bytes = 0;
  };
  struct Round {
    std::unique_ptr<Batch> writing;  // null if no transaction is written
    size_t writes = 0;               // its commands, or the UNWATCH in their place
    std::vector<Script> scripts;
    std::unique_ptr<Batch> asking;  // null if nothing is asked
  };

  // False if it was refused; its results say why then.
  bool Submit(Call& call);
  // Needs mutex_. What the next round may take; appends the calls that have waited for too long.
  std::vector<Post> Take(std::vector<Call*>& late);
  // The same: posts of the call, as many as fit. True if that was all of them.
  static bool TakeFrom(Call& call, size_t count_max, std::vector<Post>& posts, size_t& bytes);
  // The same: gives up what no round has taken; true if that was all that the call waited for.
  bool GiveUp(Call& call);

  // What follows is for whoever runs the round, one thread at a time.

  // `goes_on`: right behind another.
  void StartRound(bool goes_on);
  // `posts` are new.
  void Send(std::vector<Post> posts);
  void EndRound(Round& round, const redis::Pipeline::Replies& replies);
  // False if nothing of it was written; it is left to scripts then.
  bool ReadTransaction(Batch& batch, std::span<const redis::Reply> answers);
  void ReadScript(std::span<const Post> script, redis::ReplyView answer);
  void ReadFailure(Round& round, const absl::Status& status);
  void Plan(std::unique_ptr<Batch> batch, std::span<const redis::Reply> answers);
  void LeaveToScripts(std::span<const Post> posts);
  void Answer(const Post& post, absl::StatusOr<Appended> result);

  redis::Pipeline& pipeline_;
  const PublishWords& words_;
  const size_t shard_count_;
  const std::chrono::milliseconds wait_max_;
  const std::function<double()> open_share_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::vector<std::deque<Call*>> lanes_;  // of each origin, of each shard
  std::deque<size_t> ready_;              // lanes where something waits; each once
  size_t waiting_ = 0;
  size_t waiting_bytes_ = 0;
  bool is_under_way_ = false;  // a round
  Pace pace_;
  base::MonotonicTime round_begun_{};
  size_t round_took_ = 0;            // of those that waited
  size_t per_round_ = kPerRoundMax;  // as open_share_ said last

  // Of whoever runs the round.
  std::unique_ptr<Batch> planned_;  // to be written
  uint64_t connection_ = 0;         // over which its questions were answered
  bool is_watching_ = false;
  std::vector<Script> scripts_;      // to be sent
  std::vector<Call*> done_;          // all of whose updates are answered
  uint32_t script_rounds_ = 0;       // how many more ask nothing
  uint32_t script_rounds_next_ = 0;  // how many will, when a transaction fails

  // Counters for scraping; they publish nothing.
  std::atomic<uint64_t> by_transaction_{0};
  std::atomic<uint64_t> by_script_{0};
  std::atomic<uint64_t> stopped_{0};
};

struct PublishQueue::Awaiter {
  PublishQueue& queue;
  Call call;

  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> handle) {
    call.handle = handle;
    return queue.Submit(call);
  }
  Results await_resume() { return std::move(call.results); }
};

inline PublishQueue::Awaiter PublishQueue::Publish(UpdateOrigin origin, ShardIndex shard,
                                                   const std::vector<PublishCommand>& commands) {
  const size_t lane = static_cast<size_t>(origin) * shard_count_ + shard.value();
  return {*this, {commands, origin, lane}};
}

}  // namespace klatch
