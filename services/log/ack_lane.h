#pragma once
// Asks one Redis, over a connection that nobody else uses, whether its replicas have what was written to it.
// WAIT stops a connection until they have, so whoever waits shares rounds, one at a time:
//
//   looks of each ─▶ a small write ─▶ WAIT ─▶ INFO, CONFIG GET
//
// What was written over another connection may have gone to a master that is one no longer. The looks
// say whether it is there where the replicas are asked for; the small write stands behind it in the
// stream that replicas follow. Who needs another round looks again, over the same connection, or is told
// that it is not known.
//
// Thread safety: every method from any thread. A task continues on the pipeline's thread. Nobody
// else uses the pipeline. Lifetime: the pipeline and the lane outlive every task.
// Bounds: kWaitingMax asks wait; kPerRoundMax, and about kCommandsPerRoundMax commands, share a round; a
// round waits for `slice`. Who has not been asked about when its deadline comes is told that it is not known.
// Errors: UNAVAILABLE with reason OUTCOME_UNKNOWN, whatever it was.

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/redis/pipeline.h"

namespace klatch {

// What Redis said of itself when it was last asked.
struct CopyFacts {
  base::MonotonicTime at;  // zero: never
  uint32_t in_sync = 0;    // replicas that follow
  bool is_synced = false;  // what it answers is on its disk
};

class AckLane {
 public:
  static constexpr size_t kWaitingMax = 16'384;
  static constexpr size_t kPerRoundMax = 512;
  static constexpr size_t kCommandsPerRoundMax = 2'048;

  struct Question {
    // Sent first; `holds` looks at the replies, in their order, and says what of it is not so.
    std::vector<redis::Command> looks;
    std::function<absl::Status(std::span<const redis::Reply>)> holds;
    // OK if so many replicas have it; and all that are in sync; and Redis has it on its disk.
    uint32_t replicas_min = 0;
    bool all_in_sync = false;
    bool on_disk = false;
    base::MonotonicTime deadline = base::MonotonicTime::max();
  };
  struct Awaiter;  // yields absl::Status

  // `mark`: the key of the small write. `slice`: less than what the pipeline's calls may take.
  // `has_seen_replicas` is set when there are any, and outlives this.
  AckLane(redis::Pipeline& pipeline, std::string mark, std::chrono::milliseconds slice,
          std::atomic<bool>& has_seen_replicas, const base::Clock& clock)
      : pipeline_(pipeline),
        mark_(std::move(mark)),
        slice_(slice),
        has_seen_replicas_(has_seen_replicas),
        clock_(clock) {}

  Awaiter Ask(Question question);
  CopyFacts facts() const;

 private:
  struct Waiting {
    Question question;
    bool has_looked = false;  // over connection_
    bool is_sent_again = false;
    absl::Status result{};
    std::coroutine_handle<> handle{};
  };
  using Round = std::vector<Waiting*>;

  // False if it was refused; its result says why then.
  bool Submit(Waiting& waiting);
  // Needs mutex_.
  uint32_t Needed(const Question& question) const;
  // The same. Those that share the next round: who goes on from the last, and who waits; appends to
  // `late` whose time is over.
  Round Gather(Round again, Round& late);

  // What follows is for whoever runs the round, one thread at a time.

  void StartRound();
  std::vector<redis::Command> CommandsOf(const Round& round, uint32_t replicas) const;
  void EndRound(const Round& round, const redis::Pipeline::Replies& replies);
  // Of a round that no answers came to: those that may be sent once more, once more.
  void EndFailed(const Round& round, const absl::Status& status);
  // What the end of the answers says of all that shared the round.
  struct Outcome {
    absl::Status status;
    uint32_t copies = 0;
    bool is_synced = false;
  };
  Outcome ReadOutcome(std::span<const redis::Reply> answers);
  // What becomes of one; nothing: another round.
  std::optional<absl::Status> Judge(Waiting& waiting, std::span<const redis::Reply> looks,
                                    const Outcome& outcome);
  void Finish(const Round& done);

  redis::Pipeline& pipeline_;
  const std::string mark_;
  const std::chrono::milliseconds slice_;
  std::atomic<bool>& has_seen_replicas_;  // relaxed: a flag that publishes nothing
  const base::Clock& clock_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::deque<Waiting*> waiting_;
  CopyFacts facts_;
  bool is_under_way_ = false;  // a round

  // Of whoever runs the round.
  Round again_;              // over connection_
  uint64_t connection_ = 0;  // that answered last
};

struct AckLane::Awaiter {
  AckLane& lane;
  Waiting waiting;

  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> handle) {
    waiting.handle = handle;
    return lane.Submit(waiting);
  }
  absl::Status await_resume() { return std::move(waiting.result); }
};

inline AckLane::Awaiter AckLane::Ask(Question question) {
  return {*this, {.question = std::move(question)}};
}

}  // namespace klatch
