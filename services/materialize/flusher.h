#pragma once
// A flusher: one thread per worker that writes behind it. It takes a batch of what the worker made
// dirty, writes it to Redis many entries at a time, and then moves the checkpoint of the worker's
// partitions to the positions of the batch, as far as the log is known to have been read whole up to there.
//
//   TakeBatch ─▶ persons, holes, views ─▶ timelines, longest unwritten first ─▶ checkpoint ─▶ tombstones,
//   rebuilds
//
// The order is what makes a restart lose nothing: the checkpoint moves only when everything before
// it has an OK reply, and a batch that failed is written again, whole; every write can be repeated.
// What a broken connection delivers late is refused by the fence (see flush_scripts.h), so nothing
// that was written since is undone.
//
// A key of another type stops nobody: persons, holes and views are written anew from memory, home
// timelines too and then rebuilt from the feeds. Only what somebody had posted before can't be had
// back, since no feed holds it; the log line says so.
//
// Thread safety: Start, Stop, Drain by the owner; gauges from any thread.
// Bound: a batch is what one interval made dirty; timelines are written kTimelinesPerStep at a
// time. It does not promise order between persons, nor that Redis sees an entry in less than the
// flush interval.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "common/base/clock.h"
#include "common/obs/log.h"
#include "common/redis/connection.h"
#include "common/redis/run_guard.h"
#include "services/deliver/worker.h"
#include "services/materialize/due_reader.h"
#include "services/materialize/flush_plan.h"
#include "services/materialize/flush_ranges.h"
#include "services/materialize/flush_scripts.h"
#include "services/materialize/hole_queue.h"
#include "services/materialize/write_order.h"
#include "services/persons/group_directory.h"
#include "services/persons/lease_keeper.h"

namespace klatch {

class Flusher {
 public:
  struct Dependencies {
    const Layout& layout;
    Worker& worker;
    const GroupDirectory& groups;
    const Progress& progress;
    LeaseKeeper& leases;
    redis::RunGuard& guard;
    lockfree::EpochReclaimer& epochs;
    const base::Clock& clock;
  };

  Flusher(Dependencies dependencies, std::unique_ptr<redis::Connection> redis,
          std::chrono::milliseconds interval);
  ~Flusher();

  // kWrittenEarlierBatch: what it wrote was taken before the round began, so it says nothing about
  // what the worker had applied by then.
  enum class Round { kFailed, kWrittenEarlierBatch, kWritten };

  void Start();
  // The same without a thread: the caller calls DoWork instead. One round: takes a batch if the last one
  // is done, writes it.
  void Begin();
  Round DoWork();
  // Ends the thread at the next step; what is not written stays for the replay.
  void Stop();
  // Writes everything that is dirty now, and moves the checkpoint as far as the log was read whole; false if `deadline` came first.
  // The worker must still be running.
  bool Drain(base::MonotonicTime deadline);
  // The same without waiting, any thread: a ticket, and whether what it was given for is done.
  uint64_t AskDrain();
  bool Drained(uint64_t ticket) const;

  // Gauges; they publish nothing.
  uint64_t flushed() const { return flushed_.load(std::memory_order_relaxed); }
  uint64_t memberships_flushed() const {
    return memberships_flushed_.load(std::memory_order_relaxed);
  }
  uint64_t commands_failed() const { return failures_.load(std::memory_order_relaxed); }
  uint64_t rebuilt() const { return rebuilds_.load(std::memory_order_relaxed); }
  // How old the oldest entry was, since its record, of the last batch that had any, when it was written;
  // a replay writes old ones. Any thread.
  std::chrono::milliseconds entry_age() const {
    return std::chrono::milliseconds(entry_age_ms_.load(std::memory_order_relaxed));
  }
  // Everything that the worker had applied by then is written; the checkpoint says so when the log was read whole.
  base::MonotonicTime written_until() const;
  // What waits to be written was applied no earlier, or hardly: about as long ago as what was written
  // last. Any thread.
  base::MonotonicTime waiting_since() const;
  // Why nothing could be written for so long, naming the key if it is one key's fault; nothing if
  // the last round went well or failed since then only. Any thread.
  std::optional<std::string> stuck(std::chrono::milliseconds at_least) const;

 private:
  struct Pending {
    TimelineRef timeline;
    uint64_t head;
    size_t entries;
    uint64_t oldest;  // of the ids that are written
    StoredRing after;
  };

  // How long the worker may take to answer.
  static constexpr std::chrono::milliseconds kWorkerAnswer{1000};

  static int64_t Nanoseconds(base::MonotonicTime time);
  void Run();
  bool stopping() const;
  // One round.
  Round WriteRound();
  absl::Status TakeBatch();
  static absl::Status WorkerSilent();
  void NoteOutcome(const absl::Status& status);
  // Connects and fences if need be.
  absl::Status EnsureConnected();
  absl::Status WriteBatch(const FlushBatch& batch);
  absl::Status WriteFacts(const FlushBatch& batch);
  absl::Status WriteViews(std::vector<ViewChange> views);
  absl::Status WriteTimelines(std::vector<TimelineRef> timelines);
  absl::Status WriteStep(std::span<const TimelineRef> timelines);
  // Those that turned out to hold another type are in `wrong` and to be written again.
  absl::Status WriteOnce(std::span<const TimelineRef> timelines, std::vector<TimelineRef>& wrong);
  void NoteWaiting(std::chrono::milliseconds step_age);
  // Reads into loaded_ what Redis holds of those timelines of a step that this flusher has not
  // written yet.
  absl::Status LoadUnknown(std::span<const TimelineRef> timelines);
  absl::Status MarkReplaced(std::vector<uint32_t> persons);
  void PlanTimeline(TimelineRef timeline, std::vector<Pending>& pending);
  void AddWrites(PartitionIndex partition, const std::string& key, std::vector<RingWrite> writes);
  absl::Status WriteCheckpoint(const FlushBatch& batch);
  // Whether the checkpoint has.
  bool HasPassed(std::span<const Position> positions) const;
  bool HasPassed(Position position) const;
  absl::Status RemoveTombstones(const FlushBatch& batch);
  void AddSpilled(TimelineRef timeline);
  void RebuildSome();
  void RebuildAll(std::span<const HoleMark> holes);
  std::vector<DueReader::MemberGroup> GroupsOf(uint32_t person) const;
  void AddRebuilt(uint32_t person, std::vector<uint64_t> ids);
  void NoteRebuild(const HoleMark& hole, const absl::Status& status);
  absl::Status RunScripts(FlushScripts::Findings& findings);
  // The same for keys whose whole content memory knows; replaces those of another type.
  absl::Status RunFacts();
  absl::Status ReplaceFact(const FlushScripts::WrongType& wrong);
  std::optional<uint32_t> FindPersonOfView(const std::string& key) const;
  static absl::Status AnotherType(const std::string& key);
  void LogReplaced(const std::string& key, std::string_view consequence);
  void NoteLost(const FlushScripts::Findings& findings);

  FlushScripts::NonceOf NonceOf() const {
    return [this](PartitionIndex partition) -> const std::string& {
      return d_.leases.NonceOf(partition);
    };
  }
  StoredRing& StoredOf(TimelineRef timeline);
  lockfree::TimelineRing& RingOf(TimelineRef timeline);
  std::string KeyOf(TimelineRef timeline) const;
  const Person& PersonAt(uint32_t index) const { return d_.worker.persons().At(index); }
  void WaitForWork();

  Dependencies d_;
  const Keys keys_;
  const std::chrono::milliseconds interval_;
  std::vector<PartitionIndex> partitions_;  // the worker's; immutable after construction

  // The flusher's own.
  std::unique_ptr<redis::Connection> redis_;
  FlushScripts scripts_;
  FlushRanges ranges_;
  WriteOrder order_;
  DueReader due_reader_;
  std::vector<StoredRing> stored_;          // by TimelineRef::value
  std::optional<FlushBatch> batch_;         // taken, not yet written whole
  std::chrono::milliseconds batch_age_{0};  // entry_age of what is written of it
  std::unordered_map<uint32_t, std::vector<uint64_t>>
      spilled_;  // of batch_, not yet written; by TimelineRef::value
  base::MonotonicTime batch_taken_;
  base::MonotonicTime batch_before_taken_;
  // When a batch was first asked for that has not come yet.
  std::optional<base::MonotonicTime> asked_first_;
  std::vector<Position> checkpoint_;  // empty: none written yet
  std::vector<Position>
      changed_;  // what the checkpoint must pass to cover the last batch with changes
  std::unordered_map<uint64_t, ViewChange>
      tombstones_;  // that the checkpoint has not passed; by person and group
  base::MonotonicTime checkpoint_written_;
  std::vector<Position> written_positions_;  // of the last batch that is written whole
  obs::LogLimiter error_lines_{2};
  obs::LogLimiter replaced_lines_{2};
  HoleQueue holes_;   // to rebuild
  FlusherNews news_;  // to tell the worker
  std::vector<lockfree::TimelineEntry> entries_;
  std::vector<uint64_t> ids_;
  std::unordered_map<uint32_t, std::vector<uint64_t>>
      loaded_;  // by TimelineRef::value; empty between steps

  std::atomic<uint64_t> flushed_{0};
  std::atomic<uint64_t> memberships_flushed_{0};
  std::atomic<uint64_t> failures_{0};
  std::atomic<uint64_t> rebuilds_{0};
  std::atomic<int64_t> written_until_ns_{0};
  std::atomic<int64_t> waiting_since_ns_{0};
  std::atomic<int64_t> entry_age_ms_{0};

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_.
  bool stopping_ = false;
  uint64_t drain_asked_ = 0;
  uint64_t drain_done_ = 0;
  std::string failure_;  // of the last round; empty if it went well
  base::MonotonicTime failing_since_;
  std::condition_variable drained_;

  std::thread thread_;
};

}  // namespace klatch
