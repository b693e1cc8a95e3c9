#pragma once
// Turns to write a partition's personal state: one call at a time has it, the others wait in the
// order in which they came, without a thread.
//
//   auto taking = turns.Take(partition);
//   const PartitionTurns::Turn turn = co_await taking;
//
// Who needs two takes the lower partition first, so that nobody waits in a circle.
//
// Thread safety: any thread. A coroutine that had to wait continues on the executor.
// Lifetime: outlives its turns; the executor outlives it.
// Bound: a waiting coroutine per call under way.

#include <coroutine>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

#include "common/base/executor.h"
#include "services/model/ids.h"

namespace klatch {

class PartitionTurns {
 public:
  PartitionTurns(uint32_t partition_count, base::Executor& executor)
      : executor_(executor), partitions_(partition_count) {}

  // Ends with the object.
  class [[nodiscard]] Turn {
   public:
    Turn(PartitionTurns& turns, PartitionIndex partition) : turns_(&turns), partition_(partition) {}
    Turn(Turn&& other) noexcept
        : turns_(std::exchange(other.turns_, nullptr)), partition_(other.partition_) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (turns_ != nullptr) {
        turns_->PassOn(partition_);
      }
    }

   private:
    PartitionTurns* turns_;
    PartitionIndex partition_;
  };

  struct Taking {
    PartitionTurns& turns;
    PartitionIndex partition;

    bool await_ready() const noexcept { return false; }
    // False: it is free, go on at once.
    bool await_suspend(std::coroutine_handle<> handle) {
      const std::lock_guard lock(turns.mutex_);
      Partition& queue = turns.partitions_[partition.value()];
      if (std::exchange(queue.taken, true)) {
        queue.waiting.push_back(handle);
        return true;
      }
      return false;
    }
    Turn await_resume() const { return Turn(turns, partition); }
  };
  Taking Take(PartitionIndex partition) { return Taking{*this, partition}; }

 private:
  struct Partition {
    bool taken = false;
    std::deque<std::coroutine_handle<>> waiting;
  };

  void PassOn(PartitionIndex partition) {
    std::coroutine_handle<> next;
    {
      const std::lock_guard lock(mutex_);
      Partition& queue = partitions_[partition.value()];
      if (queue.waiting.empty()) {
        queue.taken = false;
        return;
      }
      next = queue.waiting.front();
      queue.waiting.pop_front();
    }
    executor_.Resume(next);
  }

  base::Executor& executor_;
  std::mutex mutex_;
  std::vector<Partition> partitions_;  // guarded by mutex_
};

}  // namespace klatch
