#pragma once
// All watches of a node, and the one thread, `live`, that owns them: what workers tell about
// watched persons becomes events, in the order of the log, judged when they are handed to gRPC.
//
//   workers ── WatchTap ──▶ Intake ──▶ streams' outboxes ──▶ judged, looked up ──▶ WatchSink
//                             └─▶ WatchHistory ──▶ watches that resume
//
// A round: note how far all workers have come; take their items up to there; put them into the
// outboxes; begin watches whose timelines were read; then write to every stream that has something
// and no write under way. With the last event of a stream's outbox goes a token: everything up to
// the round's positions was shown.
//
// Thread safety: the public methods from any thread, but Start and Stop, which are the owner's.
// Everything private is the live thread's unless it says otherwise.
// Lifetime: what Dependencies names outlives it. Calls that entered the gate for it end before
// Stop.
// Bounds: limits.h, "Watches"; watches_max and persons_max.

#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/clock.h"
#include "common/base/executor.h"
#include "common/lockfree/doorbell.h"
#include "services/accept/admission.h"
#include "services/accept/call_gate.h"
#include "services/accept/progress_barrier.h"
#include "services/deliver/progress.h"
#include "services/deliver/watch_tap.h"
#include "services/live/body_shelf.h"
#include "services/live/event_forms.h"
#include "services/live/inbox.h"
#include "services/live/intake.h"
#include "services/live/message.h"
#include "services/live/resume_reader.h"
#include "services/live/stream.h"
#include "services/live/taken_out.h"
#include "services/live/watch_history.h"
#include "services/log/bodies.h"
#include "services/persons/group_directory.h"
#include "services/persons/ownership.h"
#include "services/read/hydrator.h"

namespace klatch {

class WatchHub final : public WatchFence {
 public:
  struct Dependencies {
    Layout layout;
    People& people;
    const PersonalStore& personal;
    const GroupDirectory& groups;
    BodyStore& bodies;
    Bodies& stored_bodies;
    Progress& progress;
    const Ownership& ownership;
    const Pressure& pressure;
    redis::Pipeline& redis;
    base::Executor& executor;
    const base::Clock& clock;
    CallGate& gate;
    // The namespace's; signs tokens.
    std::string cursor_key;
    std::chrono::milliseconds body_retention{limits::kBodyRetention};
    std::chrono::milliseconds stale_limit{2'000};
    uint32_t watches_max = limits::kWatchesMax;
    uint32_t persons_max = limits::kWatchedPersonsMax;
    // A stream whose client takes no message for so long is ended.
    std::chrono::milliseconds stall_max{limits::kWatchStallMax};
  };

  // One tap per worker, in their order; the workers begin behind `replay_after`.
  WatchHub(Dependencies dependencies, std::vector<WatchTap*> taps,
           std::vector<Position> replay_after);
  ~WatchHub() override;

  // Before the workers start.
  void Start();
  // What stood in the log at the start is applied.
  void NoteCaughtUp();
  // Ends all watches with UNAVAILABLE, reason STOPPING; new ones end at once.
  void CloseWatches();
  // Ends the thread. Idempotent.
  void Stop();

  // A new stream; `sink` lives until its Destroy is called.
  uint64_t Open(WatchSink& sink, bool is_gateway);
  // The stream asks for something; what is wrong with it ends the stream.
  void Change(uint64_t stream, absl::StatusOr<WatchChange> change);
  void NoteWritten(uint64_t stream, bool ok);
  // gRPC is done with the stream, which was told to end.
  void NoteDone(uint64_t stream);
  void NoteCancelled(uint64_t stream);

  base::Task<void> Pass() override;

  const Layout& layout() const { return d_.layout; }
  const WatchTokens& tokens() const { return tokens_; }

  // Gauges and counters; any thread.
  uint64_t streams() const { return stream_count_.load(std::memory_order_relaxed); }
  uint64_t persons() const { return person_count_.load(std::memory_order_relaxed); }
  uint64_t events_sent() const { return events_sent_.load(std::memory_order_relaxed); }
  uint64_t messages_sent() const { return messages_sent_.load(std::memory_order_relaxed); }
  // Resumed timelines that feeds were asked for.
  uint64_t pulled_reads() const { return resume_reader_.pulled_reads(); }
  uint64_t stalled() const { return stalled_.load(std::memory_order_relaxed); }
  uint64_t gaps_sent(v1::GapReason reason) const {
    return gaps_sent_[static_cast<size_t>(reason)].load(std::memory_order_relaxed);
  }

 private:
  struct Queued {
    uint64_t stream;
    uint32_t number;
    uint32_t epoch;
  };
  // Persons of a worker who are live once all workers have come as far as `applied`.
  struct Answered {
    uint32_t worker = 0;
    std::vector<Position> applied;
    std::vector<std::pair<std::string, uint64_t>> persons;  // with the orders that were answered
  };
  struct WorkerState {
    WatchTap* tap;
    bool in_step = true;  // false: after an overflow, until it has begun anew
    absl::flat_hash_map<uint32_t, WatchedPerson*> persons;  // by index
  };
  class Composer;
  struct FenceAwaiter;

  void Run();
  // One bounded step; whether there may be more to do at once.
  bool DoWork();
  std::chrono::nanoseconds WaitMax() const;

  // watch_hub.cc: streams come and go.
  WatchStream* Find(uint64_t id);
  void OnOpen(uint64_t id, WatchSink& sink, bool is_gateway);
  void OnChange(uint64_t id, absl::StatusOr<WatchChange> change);
  // At once, or when enough of the answers that wait are written.
  void ReadNext(WatchStream& stream);
  void OnWritten(uint64_t id, bool ok);
  void End(WatchStream& stream, const absl::Status& status);
  void FinishIfEnded(WatchStream& stream);
  void OnClose();
  void CancelLate();
  void CancelStalled();

  // watch_hub_starts.cc: persons come and go.
  absl::Status AddPersons(WatchStream& stream, WatchAddition addition);
  absl::Status MayAdd(const WatchStream& stream, const PersonId& person, bool has_room) const;
  void Subscribe(WatchStream& stream, WatchStart& start, const PersonId& person);
  void Unsubscribe(WatchStream& stream, uint32_t number);
  void RemovePersons(WatchStream& stream, const std::vector<PersonId>& persons);
  void OnAnswer(uint32_t worker, WatchAnswer answer);
  void RefuseFull(const std::string& person);
  void MakeLive();
  void MakeReady(WatchStream& stream, WatchStart& start);
  void LookAtStarts();
  void Queue(WatchStream& stream, uint32_t number);
  void BeginAnew(uint32_t worker);

  // watch_hub_begins.cc: their watches begin.
  size_t BeginQueued();
  // False: not now.
  bool Begin(WatchStream& stream, uint32_t number, WatchSubscription& subscription);
  std::vector<WatchedEvent> MissedChanges(const WatchedPerson& person,
                                          const WatchPlace& place) const;
  base::Task<void> ReadMissed(Queued queued, PersonId person,
                              std::shared_ptr<const WatchPlace> place,
                              std::shared_ptr<const Positions> until, CallGate::Pass pass);
  void OnMissedRead(Queued queued, ResumeFound found);
  void AddMissed(WatchStart& start, uint32_t number, const WatchedEvent& event);
  void NoteBegun(WatchStream& stream, WatchSubscription& subscription);
  void EndStart(WatchStream& stream, WatchStart& start);

  // watch_hub_rounds.cc: from workers to outboxes.
  void TakeItems();
  void ShowReady();
  void Show(const WatchedEvent& event, const WatchedPerson& person);
  void Remember(uint32_t worker, uint32_t person, const WatchItem& item);
  void NoteReads();

  // watch_hub_writes.cc: from outboxes to gRPC.
  void QueueWrite(WatchStream& stream);
  void WriteQueued();
  void Write(WatchStream& stream);
  static bool TakeAnswers(WatchStream& stream, WatchMessage& message);
  void Heartbeats();
  void ReadBodies();
  base::Task<void> ReadBatch(std::vector<UpdateId> ids, CallGate::Pass pass);
  void OnBodiesRead(absl::StatusOr<Hydrator::Found> found);
  const std::string& PackedPlace();
  std::string PersonToken(WatchSubscription& subscription);
  bool IsStale() const;

  const Dependencies d_;
  const WatchTokens tokens_;
  const Retention retention_;
  Hydrator hydrator_;
  ResumeReader resume_reader_;
  lockfree::Doorbell bell_;
  LiveInbox inbox_{bell_};
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> next_stream_{1};

  // Gauges and counters, and whether a fence has anything to wait for.
  std::atomic<uint64_t> stream_count_{0};
  std::atomic<uint64_t> person_count_{0};
  std::atomic<uint64_t> events_sent_{0};
  std::atomic<uint64_t> messages_sent_{0};
  std::atomic<uint64_t> stalled_{0};
  std::array<std::atomic<uint64_t>, v1::GapReason_ARRAYSIZE> gaps_sent_{};

  // The live thread's own from here on.
  std::vector<WorkerState> workers_;
  Intake intake_;
  WatchHistory history_;
  TakenOut taken_out_;
  bool caught_up_ = false;
  // Since when the node has been stopping.
  std::optional<base::MonotonicTime> closing_since_;
  base::MonotonicTime looked_for_stalled_{};
  // How far all workers had come when the round began. Shared with reads for resumes.
  std::shared_ptr<const Positions> applied_;
  // Up to where everything is in the outboxes: of an earlier round while items are taken.
  std::shared_ptr<const Positions> shown_;
  // The same, for those who judge what is sent.
  AppliedPrefix prefix_;
  std::string packed_place_;  // of applied_; empty until it is asked for

  absl::flat_hash_map<uint64_t, std::unique_ptr<WatchStream>> streams_;
  // Those that were told to end, until gRPC is done with them.
  // Their last word is under way.
  struct Finishing {
    WatchSink* sink;
    base::MonotonicTime since;
  };
  absl::flat_hash_map<uint64_t, Finishing> finishing_;
  absl::flat_hash_map<std::string, std::unique_ptr<WatchedPerson>> persons_;
  std::vector<Answered> answered_;
  std::deque<Queued> queued_;
  size_t reads_ = 0;
  std::set<uint64_t> unready_;  // streams with a start that waits for workers

  std::vector<uint64_t> to_write_;
  std::vector<uint64_t> starved_;  // streams that wait for bodies
  std::vector<uint64_t> blocked_;  // streams that wait for a lease
  std::set<std::pair<base::MonotonicTime, uint64_t>> heartbeats_;
  BodyShelf shelf_;
  EventForms forms_;
  bool is_reading_bodies_ = false;
  base::MonotonicTime bodies_failed_{};
  base::MonotonicTime reads_noted_{};

  std::thread thread_;
};

}  // namespace klatch
