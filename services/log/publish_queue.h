#pragma once
// Where updates wait for their script: few scripts are under way at a time, and what comes meanwhile
// waits by shard, so that the next script takes what several calls brought. A script of many costs
// Redis less per update, and who else writes there, the flushers above all, never stands behind more
// than kUnderWayMax of them.
//
// Thread safety: every method from any thread. A call's coroutine continues on the pipeline's thread,
// or at once on its own if nothing of it could be taken.
// Order: updates of one call, and calls of one shard, are sent in the order in which they came.
// Bounds: kWaitingMax updates of kWaitingBytesMax bytes; past that RESOURCE_EXHAUSTED. What has waited
// for the pipeline's call timeout fails with UNAVAILABLE, reason NOT_SENT.

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "common/base/clock.h"
#include "common/redis/pipeline.h"
#include "services/log/appender.h"

namespace klatch {

class PublishQueue {
 public:
  static constexpr size_t kPerScriptMax = 16;
  static constexpr size_t kBytesPerScriptMax = 128 << 10;
  static constexpr size_t kUnderWayMax = 32;
  static constexpr size_t kUnderWayMin = 2;  // whatever the share
  static constexpr size_t kWaitingMax = 32'768;
  static constexpr size_t kWaitingBytesMax = 64 << 20;

  using Results = std::vector<absl::StatusOr<Appended>>;
  // Updates of one shard, in one script; at least one.
  using ScriptOf = std::function<redis::Command(std::span<const PublishCommand* const>)>;
  // The outcome of one update, by its place in the script that was answered so.
  using OutcomeOf =
      std::function<absl::StatusOr<Appended>(const redis::Pipeline::Replies&, size_t)>;

  struct Dependencies {
    redis::Pipeline& pipeline;
    ScriptOf script_of;
    OutcomeOf outcome_of;
    // The part of kUnderWayMax that may be used now, from 0 to 1; any thread.
    std::function<double()> open_share;
  };

  // `lanes`: what shares scripts; `wait_max`: how long an update may wait here.
  PublishQueue(Dependencies dependencies, size_t lanes, std::chrono::milliseconds wait_max);

  struct Awaiter;  // yields Results
  // `commands` belong to that lane and outlive the wait.
  Awaiter Publish(size_t lane, const std::vector<PublishCommand>& commands);

  // How long the first of those that wait has been here, to within a round over the lanes; 0 if none
  // does.
  std::chrono::nanoseconds OldestAge() const;

 private:
  // What one call brought.
  struct Call {
    const std::vector<PublishCommand>& commands;
    size_t lane;
    base::MonotonicTime submitted{};
    size_t taken = 0;     // of the commands, by scripts
    size_t answered = 0;  // of the commands
    Results results{};
    std::coroutine_handle<> handle{};
  };
  // Commands of a call that share a script.
  struct Slice {
    Call* call;
    size_t first;
    size_t count;
  };
  struct Script {
    std::vector<Slice> slices;
    std::vector<const PublishCommand*> commands;
  };

  // False if it was refused; its results say why then.
  bool Submit(Call& call);
  // Sends what there is room for; one thread at a time, the others leave it to that one.
  void Send();
  // Needs mutex_. Whether one more script may be sent.
  bool HasRoom() const;
  // Needs mutex_. The next script, and the calls that have waited for too long.
  Script TakeScript(std::vector<Call*>& late);
  // The same: commands of the call, as many as fit.
  static void TakeFrom(Call& call, Script& script, size_t& bytes);
  // The same: gives up what no script has taken; true if that was all that the call waited for.
  bool GiveUp(Call& call);
  void Answer(const Script& script, const redis::Pipeline::Replies& replies);

  const Dependencies d_;
  const std::chrono::milliseconds wait_max_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::vector<std::deque<Call*>> lanes_;
  std::deque<size_t> ready_;  // lanes where something waits; each once
  size_t waiting_ = 0;
  size_t waiting_bytes_ = 0;
  size_t under_way_ = 0;
  bool sending_ = false;
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

inline PublishQueue::Awaiter PublishQueue::Publish(size_t lane,
                                                   const std::vector<PublishCommand>& commands) {
  return {*this, {commands, lane}};
}

}  // namespace klatch
