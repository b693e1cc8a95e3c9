#pragma once
// What a node does before it serves: takes from Redis what is stored, sees whether the logs go on from
// there, and takes from the groups what they don't tell. Afterwards the workers replay the logs.
//
//   FollowTrail ─▶ Load ─▶ FollowCheckpoint ─▶ replay behind `replay_after`
//
// Thread safety: one thread, before workers and tailer start. Lifetime: what Dependencies names outlives this.
// Errors: UNAVAILABLE when Redis can't be reached; DATA_LOSS naming the key whose value can't be read;
// RESOURCE_EXHAUSTED more persons than the workers hold; CANCELLED when interrupted.

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/redis/connection.h"
#include "services/deliver/log_gap.h"
#include "services/deliver/worker.h"
#include "services/log/log_reader.h"
#include "services/log/log_trail.h"
#include "services/materialize/loader.h"
#include "services/persons/group_directory.h"

namespace klatch {

class Recovery {
 public:
  struct Dependencies {
    const Layout& layout;
    redis::Connection& redis;
    LogReader& log;
    LogTrail& trail;  // what an earlier node has read
    GroupDirectory& groups;
    std::vector<Worker*> workers;  // in the order of their indices
    const base::Clock& clock;
    std::function<bool()> interrupted = [] { return false; };
  };
  explicit Recovery(Dependencies dependencies) : d_(std::move(dependencies)) {}

  // Whether the logs still are what an earlier node has read of them: counts and tells what is not,
  // and forgets it.
  absl::Status FollowTrail();
  // Restores persons and deliveries to the workers.
  absl::StatusOr<LoadSummary> Load();
  // Where the logs don't go on from the checkpoints, or have forked: counts and tells it, takes from
  // the groups what the logs don't tell, and sets `replay_after` to where they go on. After Load.
  // Whether there was any.
  absl::StatusOr<bool> FollowCheckpoint(std::vector<Position>& replay_after);
  // By shard, a record that stood in the log when the above looked, no older than where the replay begins: when it does
  // not any more, the log was cut. Zero where there was none.
  const std::vector<LogMark>& anchors() const { return anchors_; }

 private:
  absl::StatusOr<std::optional<LogGap>> GapBehind(const LogMark& checkpoint, const LogLook& look);
  absl::Status TakeFromGroups(std::span<const LogGap> gaps);
  // Of the logs that go on from the checkpoints: whose older end lies behind what was read of them, since
  // another node has gone on meanwhile on what Redis had left. Who follows such a log would miss for ever what
  // was read, and begin anew each time.
  absl::Status NoteGapsBehindTrail();
  absl::Status CheckInterrupted() const;
  Worker& WorkerOf(PartitionIndex partition) const {
    return *d_.workers[partition.value() % d_.workers.size()];
  }

  const Dependencies d_;
  std::vector<LogMark> anchors_;
};

}  // namespace klatch
