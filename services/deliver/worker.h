#pragma once
// A worker: one thread that owns a slice of the persons. It takes every record off the broadcast
// ring, expands the record's group to its own persons and appends to their timelines in memory.
// Nothing on this path locks, allocates (once rings have grown) or waits for Redis.
//
//   broadcast ring ──▶ worker ──▶ home and profile rings, memberships   (readers, lock-free)
//                        ├──────▶ FlushBatch: what is dirty             (its flusher)
//                        └──────▶ WatchTap: what reaches watched persons (the live thread)
//
// Thread safety: Restore before Start; DoWork by the worker's thread, which is Start's or, after
// Begin, the caller's; TakeBatch by its flusher; gauges from any thread. When memory is short: an
// entry that can be kept neither in memory nor flushed yet is dropped, the person marked with a hole
// that the flusher rebuilds from the feeds.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/lockfree/broadcast_ring.h"
#include "common/lockfree/epoch.h"
#include "services/deliver/event.h"
#include "services/deliver/flush_batch.h"
#include "services/deliver/log_gap.h"
#include "services/deliver/mend.h"
#include "services/deliver/progress.h"
#include "services/deliver/watch_tap.h"
#include "services/model/limits.h"
#include "services/persons/person_store.h"
#include "services/persons/roster.h"

namespace klatch {

class Worker {
 public:
  struct Dependencies {
    const Layout& layout;
    lockfree::BroadcastRing<Event>& ring;
    Progress& progress;
    lockfree::EpochReclaimer& epochs;
    GroupSizes& sizes;
    const base::Clock& clock;
    // Who has not read for so long gets no copies; 0: everybody does.
    std::chrono::milliseconds quiet_after{0};
    // Between the worker and whoever watches.
    size_t watch_items_max = limits::kWatchItemsMax;
  };

  Worker(uint32_t index, uint32_t worker_count, Dependencies dependencies, PersonStore& persons);
  ~Worker();

  // Before Start: what Redis holds about a person. Copies of updates up to `floor` are only in
  // Redis.
  absl::Status Restore(std::string_view person, std::vector<Membership> memberships, UpdateId floor,
                       uint64_t hole_since);

  // Before Start: the person, restored already, gets no copies since then.
  void RestoreQuiet(std::string_view person, uint64_t since);
  // Before Start: the group's updates are read from its feed as far as Redis knows. A replay of what
  // stood before that switch copies nothing either; who reads finds it in the feed.
  void RestoreDelivery(GroupIndex group, bool is_pulled) { roster_.SetPulled(group, is_pulled); }

  // In worker_gap.cc, before Start, when all persons are restored: `members` are this worker's of a group in a shard
  // whose log does not tell all, as the group has them. Home timelines that lack something are marked as holes.
  absl::Status RestoreGroup(const LogGap& gap, GroupIndex group,
                            std::span<const GroupMember> members);
  // The same: a post whose record is gone, for its author's profile.
  absl::Status RestorePost(std::string_view author, UpdateId id);
  // The same: restored memberships may be ahead of the log up to there.
  void NoteRestored(Position end);

  // Applies what stands in the log behind `applied`, one position per shard, on a thread of its own.
  void Start(std::vector<Position> applied);
  void Stop();
  // The same without a thread: the caller calls DoWork instead. One bounded step; returns how many
  // events it applied.
  void Begin(std::vector<Position> applied);
  size_t DoWork();
  // Before Begin: one thread is worker and flusher, so TakeBatch and Tell are answered at once.
  void AnswerAtOnce() { answers_at_once_ = true; }

  // By the flusher, once it has written the batch before: everything that became dirty since, and
  // how far the worker had applied the log when it was taken. Tells the worker the news. Waits for
  // the worker, at most `wait`; nothing if it did not answer in time, the next call then has that
  // answer, marked as late.
  std::optional<FlushBatch> TakeBatch(FlusherNews news, std::chrono::milliseconds wait);
  // By the flusher: returns when readers see the news; false if `wait` was over first, they come
  // later then.
  bool Tell(FlusherNews news, std::chrono::milliseconds wait);

  // Any thread: has this put right at the worker's next step, in order. Rebuilds end like those of
  // holes: the person's hole_generation has grown, and hole_since is 0 again.
  void Order(std::vector<Mend> mends);

  uint32_t index() const { return index_; }
  WatchTap& watch_tap() { return tap_; }
  PersonStore& persons() { return persons_; }
  bool Owns(PartitionIndex partition) const { return partition.value() % worker_count_ == index_; }

  // Gauges and counters; they publish nothing.
  uint64_t delivered() const { return delivered_.load(std::memory_order_relaxed); }
  uint64_t memberships_changed() const {
    return memberships_changed_.load(std::memory_order_relaxed);
  }
  // Persons who get no copies.
  uint64_t quiet() const { return quiet_.load(std::memory_order_relaxed); }
  uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }
  // Persons whose home timelines lack copies.
  uint64_t holes() const { return holes_.load(std::memory_order_relaxed); }
  // There are more persons than it can hold: it has stopped before the record that named one more.
  bool failed() const { return failed_.load(std::memory_order_relaxed); }
  // Some timeline has come close to what it can hold unflushed; flush now, hold posts back.
  bool tight() const { return tight_.load(std::memory_order_relaxed); }
  // Some timeline waits for the flusher more than for its interval.
  bool urgent() const { return urgent_.load(std::memory_order_relaxed); }
  void ClearPressure() {
    urgent_.store(false, std::memory_order_relaxed);
    tight_.store(false, std::memory_order_relaxed);
  }

 private:
  void Run();
  void Apply(const Event& event);
  void Deliver(const Event& event);
  void DeliverCarried(const Event& event);
  void DeliverToAuthor(const Event& event);
  // Whether restored memberships may be ahead of it.
  bool IsReplayed(const Event& event) const {
    return event.position <= restored_[event.position.shard().value()];
  }
  // Who is due a copy of the group's update that `event` brings; valid until the next call.
  std::span<const uint32_t> MembersAt(const Event& event);
  // One copy to each of `members`.
  void CopyTo(std::span<const uint32_t> members, const lockfree::TimelineEntry& entry);
  void AppendTo(TimelineRef timeline, lockfree::TimelineRing& ring,
                const lockfree::TimelineEntry& entry);
  // The ring had no room for it.
  void NoteDropped(TimelineRef timeline, uint64_t id);
  void MarkHole(uint32_t person, uint64_t id);
  // Has the flusher fetch what may be missing since then.
  void AskForRebuild(uint32_t person, uint64_t since);

  // worker_quiet.cc: who reads no more, and who is back.
  bool IsQuiet(uint32_t person) const {
    return person / 64 < quiet_bits_.size() && (quiet_bits_[person / 64] >> person % 64 & 1) != 0;
  }
  void SetQuiet(uint32_t person, bool is_quiet);
  void FallQuiet(Person& person);
  void WakeUp(uint32_t person);
  void NoteSeen(const Person& person);
  void LookForQuiet();
  void MarkSpilled(uint32_t person, uint64_t id);
  void ChangeMember(const Event& event, const MemberChange& change);
  void DeleteGroup(const Event& event);
  void TellChange(const Event& event);
  void TellChangeIn(const Event& event, GroupIndex group);
  void TellLeft(const Event& event, uint32_t person);
  std::optional<uint32_t> AddWatched(std::string_view id);
  void SetMembership(Person& person, const Membership& membership);
  Person* FindOrAddPerson(std::string_view id);
  static absl::Status TooManyPersons();
  // Whether the person has become a member by that.
  bool RestoreStay(const LogGap& gap, GroupIndex group, Person& person, const Stay& stay);
  void AddNews(FlusherNews news);
  void AskWorker(std::unique_lock<std::mutex>& lock);
  void AnswerFlusher();
  void TakeNews(FlusherNews news);
  void ClearRebuilt(const RebuiltHole& rebuilt);
  void ForgetSpilled();
  void Prune(Person& person, std::span<const ViewChange> removed);
  // In worker_mend.cc.
  void CarryOut(const Mend& mend);
  void MendStay(Person& person, const MendedStay& mended);
  void RebuildHome(Person& person);

  const uint32_t index_;
  const uint32_t worker_count_;
  Dependencies d_;
  PersonStore& persons_;

  WatchTap tap_;

  // The worker's own.
  Roster roster_;
  std::vector<Position> applied_;  // by shard
  // By shard: up to here the restored memberships may be ahead of the log.
  std::vector<Position> restored_;
  std::vector<uint32_t> members_at_;  // MembersAt's
  FlushBatch dirty_;                  // what the next batch will be
  uint32_t epoch_ = 1;                // of dirty_; a ring whose mark is this epoch is in it already
  std::vector<uint64_t> quiet_bits_;  // one per person
  uint64_t quiet_count_ = 0;
  uint64_t left_out_max_ = 0;  // the greatest id that was not copied to who is, or was, quiet
  uint32_t next_look_ = 0;     // at this person
  base::MonotonicTime look_due_{};
  std::vector<uint32_t> spilled_before_;  // persons of the last batch's spilled entries
  // By shard: no tombstone of a later change has been forgotten.
  std::vector<Position> forgotten_;
  uint64_t delivered_local_ = 0;

  // Counters and flags read by others; relaxed, they publish nothing.
  std::atomic<uint64_t> delivered_{0};
  std::atomic<uint64_t> memberships_changed_{0};
  std::atomic<uint64_t> dropped_{0};
  std::atomic<uint64_t> holes_{0};
  std::atomic<uint64_t> quiet_{0};
  std::atomic<bool> urgent_{false};
  std::atomic<bool> tight_{false};
  std::atomic<bool> failed_{false};
  std::atomic<bool> stopping_{false};

  // The hand-over to the flusher. `asked_` is looked at between batches; everything else is guarded
  // by mutex_.
  std::atomic<bool> asked_{false};
  std::mutex mutex_;
  std::condition_variable answered_;
  FlusherNews news_;
  std::vector<Mend> mends_;
  bool batch_wanted_ = false;
  std::optional<FlushBatch> answer_;
  bool answers_at_once_ = false;

  std::thread thread_;
};

}  // namespace klatch
