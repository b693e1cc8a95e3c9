#pragma once
// Takes and renews this node's leases on partitions: hash `lease` in each partition's slot with
// owner, epoch, nonce, duration (milliseconds) and renewal, a random word, new at each renewal.
//
// A lease that another owner holds is taken once the same renewal has been seen there for its whole
// duration, by this node's own monotonic clock: no time of day, ours or Redis's, has a part in it.
// One that was let go is taken at once, and so is our own (same node id), which is why a node id must
// be guarded by the lock of its data directory. Each taking raises the epoch and draws a new nonce;
// every flush compares the nonce, so an owner that was replaced writes nothing. Reads ask Holds, which
// counts from the moment a renewal was sent, less a margin for clocks that run at different speeds, so
// this node stops answering before anybody else may begin.
//
// Thread safety: TakeAll, Start, Stop, Release by the owner; Holds, NonceOf, lost from any thread.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/redis/connection.h"
#include "common/redis/run_guard.h"
#include "services/model/keys.h"
#include "services/persons/others_leases.h"
#include "services/persons/ownership.h"

namespace klatch {

class LeaseKeeper final : public Ownership {
 public:
  // `others` outlives it; several keepers of one process may use it, one after the other.
  LeaseKeeper(const Layout& layout, std::string node_id, std::chrono::milliseconds duration,
              const base::Clock& clock, OthersLeases& others);
  ~LeaseKeeper() override;

  // Takes every partition's lease, waiting for others' to run out; gives up at `deadline` with
  // UNAVAILABLE that names the owner who holds on, with CANCELLED when `interrupted` says so.
  absl::Status TakeAll(
      redis::Connection& redis, base::MonotonicTime deadline,
      const std::function<bool()>& interrupted = [] { return false; });

  // Renews three times per duration on a connection of its own.
  // `guard` outlives it.
  void Start(std::unique_ptr<redis::Connection> redis, redis::RunGuard& guard);
  // The same without a thread: the caller calls DoWork instead, which renews once.
  void Begin(std::unique_ptr<redis::Connection> redis, redis::RunGuard& guard);
  absl::Status DoWork();
  void Stop();
  // Lets the leases go, so that the next owner needn't wait.
  absl::Status Release(redis::Connection& redis);

  bool Holds(PartitionIndex partition, base::MonotonicTime now) const override;
  // For how long still if it is not renewed; 0 if not.
  std::chrono::nanoseconds HeldFor(PartitionIndex partition, base::MonotonicTime now) const;
  // The nonce that this node's writes to the partition carry. Immutable after TakeAll.
  const std::string& NonceOf(PartitionIndex partition) const {
    return partitions_[partition.value()].nonce;
  }

  // Somebody else has taken a partition: this node's memory of it is worth nothing any more.
  void NoteLost(PartitionIndex partition);
  std::optional<PartitionIndex> lost() const;

 private:
  struct Partition {
    std::string nonce;
    // Monotonic time until which reads may be answered; 0: not held. Written by the keeper, read by
    // any; a reader needs the number only, so relaxed suffices.
    std::atomic<int64_t> held_until_ns{0};
  };

  absl::Status TakeOnce(redis::Connection& redis, std::vector<PartitionIndex>& missing,
                        std::string& holder);
  absl::Status Renew(redis::Connection& redis);
  void Run();
  int64_t HeldUntil(base::MonotonicTime sent) const;

  const Layout layout_;
  const Keys keys_;
  const std::string node_id_;
  const std::chrono::milliseconds duration_;
  const base::Clock& clock_;
  OthersLeases& others_;
  std::vector<Partition> partitions_;

  // -1, or a partition that was lost; never reset.
  std::atomic<int64_t> lost_{-1};

  std::unique_ptr<redis::Connection> redis_;
  redis::RunGuard* guard_ = nullptr;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace klatch
