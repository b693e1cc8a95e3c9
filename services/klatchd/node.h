#pragma once
// One running node: the stages of DESIGN section 3, wired in the order of an update's way, for one
// namespace.
//
//   accept ─▶ log ─▶ deliver (tailer ─▶ workers) ─▶ materialize (flushers)
//                        ├─▶ persons in memory ─▶ read
//                        └─▶ live ─▶ watches
//
// Start builds and starts everything but the gRPC server; when it returns, the node has caught up
// with the log as it was when it began. Drain stops it in the same order: no new calls, the log
// applied, everything flushed, leases let go.
//
// Thread safety: Start, Drain and the destructor by one thread; the rest from any thread.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/executor.h"
#include "common/obs/http_server.h"
#include "common/obs/metrics.h"
#include "common/redis/pipeline.h"
#include "services/accept/admission.h"
#include "services/accept/call_gate.h"
#include "services/accept/feed_service.h"
#include "services/accept/feed_writes.h"
#include "services/accept/progress_barrier.h"
#include "services/accept/redis_facts.h"
#include "services/accept/sweeper.h"
#include "services/admin/admin_service.h"
#include "services/deliver/delivery_switcher.h"
#include "services/deliver/tailer.h"
#include "services/deliver/ticker.h"
#include "services/deliver/worker.h"
#include "services/groups/group_service.h"
#include "services/groups/import_service.h"
#include "services/groups/stored_group_rights.h"
#include "services/klatchd/local_node_view.h"
#include "services/klatchd/local_people.h"
#include "services/klatchd/node_memory.h"
#include "services/klatchd/options.h"
#include "services/klatchd/pressure.h"
#include "services/klatchd/recovery.h"
#include "services/live/watch_hub.h"
#include "services/live/watch_reactors.h"
#include "services/log/acks.h"
#include "services/log/janitor.h"
#include "services/log/log_clock.h"
#include "services/log/namespace_facts.h"
#include "services/log/redis_appender.h"
#include "services/log/redis_log_reader.h"
#include "services/log/retention_keeper.h"
#include "services/materialize/flusher.h"
#include "services/personal/person_service.h"
#include "services/persons/lease_keeper.h"
#include "services/read/feed_reads.h"

namespace klatch {

Layout LayoutOf(const KlatchdOptions& options);

class Node {
 public:
  // Asked now and then while starting; true: give up.
  using Interrupted = std::function<bool()>;

  // `memory` and `door` outlive the node. `door` may be null: nobody is asked who they are.
  Node(const KlatchdOptions& options, redis::Address address, std::string node_id,
       const base::Clock& clock, NodeMemory& memory, Door* door);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // UNAVAILABLE when Redis goes away meanwhile, or has no memory for a write (try again with a new
  // Node); FAILED_PRECONDITION, RESOURCE_EXHAUSTED and DATA_LOSS when what it holds can't be
  // served; CANCELLED when interrupted.
  absl::Status Start(const Interrupted& interrupted);

  // Stops taking calls, waits for those under way, applies and flushes everything, lets the leases
  // go. A call that waits for what the node has not applied, be it a token from the future, is told
  // so at `end_waits`. Of a log that can't be followed what was applied is flushed.
  // DEADLINE_EXCEEDED names the step that did not end in time; the next start replays what is
  // missing.
  absl::Status Drain(base::MonotonicTime end_waits, base::MonotonicTime deadline);

  // Why the node should stop by itself, or OK: ABORTED a lost lease; DATA_LOSS, RESOURCE_EXHAUSTED
  // a log that can't be followed; UNAVAILABLE with reason RELOAD: Redis was restarted, start a new
  // Node on it.
  absl::Status health() const;
  // Lets nobody in any more, ends all watches and waits for the calls under way, those that wait
  // for what is not applied until `end_waits` only. False if `deadline` came first: the node must
  // not be destroyed then.
  bool CloseCalls(base::MonotonicTime end_waits, base::MonotonicTime deadline);
  // Of a node that will be started anew on another Redis: whoever waits for this one waits no longer.
  void GiveUpRedis() { cutoff_.Cut(); }
  obs::Readiness readiness() const;
  void Register(obs::MetricsRegistry& metrics) const;

  grpc::Service& feed_service() { return *feed_service_; }
  grpc::Service& group_service() { return *group_service_; }
  grpc::Service& person_service() { return *person_service_; }
  grpc::Service& import_service() { return *import_service_; }
  grpc::Service& admin_service() { return *admin_service_; }

 private:
  struct Slice;  // a worker, its persons, its flusher

  absl::StatusOr<std::unique_ptr<redis::Connection>> Connect() const;
  // Makes this node the owner of the namespace in Redis.
  absl::StatusOr<NamespaceFacts> Claim(redis::Connection& redis, const Interrupted& interrupted);
  void AddSlices();
  std::vector<Worker*> Workers() const;
  absl::Status Load(redis::Connection& redis, Recovery& recovery, const Interrupted& interrupted,
                    std::vector<Position>& replay_after);
  absl::Status StartKeeper();
  absl::Status CatchUp(const Interrupted& interrupted);
  // The live thread, which must listen before the workers tell anything.
  void StartLive(const std::string& cursor_key, const std::vector<Position>& replay_after);
  void BuildServices(const std::string& cursor_key);
  void BuildPersonService(const std::string& cursor_key);
  void BuildAdminService(const std::string& cursor_key);
  // What the node itself tells operators, but its holes. In node_admin.cc.
  NodeFacts AdminFacts() const;
  // Parts of health: whether this node may still write to this Redis, and why it can't follow the
  // log.
  absl::Status Standing() const;
  absl::Status LogFailure() const;
  absl::Status AwaitApplied(base::MonotonicTime deadline);
  absl::Status AwaitFlushed(base::MonotonicTime deadline);
  // Whether this node may answer for all of its partitions now.
  bool HoldsLeases() const;
  uint64_t UnflushedEntries() const;
  uint64_t UnflushedMemberships() const;
  double CheckpointLagSeconds() const;
  double FlushedEntryAgeSeconds() const;

  const KlatchdOptions options_;
  const Layout layout_;
  const redis::Address address_;
  const std::string node_id_;
  const base::Clock& clock_;
  LogTrail& trail_;
  Door* const door_;
  const base::MonotonicTime loaded_;

  // In the order of construction; destroyed in reverse.
  redis::Cutoff cutoff_;
  base::Executor executor_;
  lockfree::EpochReclaimer epochs_;
  PersonalStore personal_;
  GroupDirectory groups_;
  GroupSizes sizes_;
  BodyStore bodies_;
  lockfree::BroadcastRing<Event> ring_;
  Progress progress_;
  std::unique_ptr<redis::RunGuard> guard_;
  OthersLeases& others_leases_;  // of the process
  LeaseKeeper leases_;
  std::vector<std::unique_ptr<Slice>> slices_;
  LocalPeople people_;
  FlushPressure pressure_;
  CallGate gate_;

  redis::SocketPipeline append_pipeline_;
  redis::SocketPipeline read_pipeline_;
  redis::SocketPipeline one_copy_pipeline_;
  redis::SocketPipeline all_copies_pipeline_;
  Acks acks_;
  LogClock log_clock_{clock_};
  RedisAppender appender_;
  RedisLogReader log_reader_;
  std::unique_ptr<Tailer> tailer_;
  std::unique_ptr<Ticker> ticker_;
  std::unique_ptr<DeliverySwitcher> switcher_;
  std::unique_ptr<Janitor> janitor_;
  std::unique_ptr<RetentionKeeper> keeper_;

  Admission admission_;
  CallerRates rates_;
  ProgressBarrier barrier_;
  Bodies bodies_reader_;
  GroupStore group_store_;
  LogEnd log_end_;
  RedisFacts facts_;
  RedisGroupReader group_reader_;
  AppliedPersonGroups person_groups_;
  StoredGroupRights group_rights_;
  Calls calls_;
  std::unique_ptr<Sweeper> sweeper_;
  std::unique_ptr<WatchHub> live_;
  std::unique_ptr<WatchCalls> watch_calls_;
  std::unique_ptr<FeedReads> reads_;
  std::unique_ptr<FeedWrites> writes_;
  std::unique_ptr<GroupCalls> group_calls_;
  std::unique_ptr<PersonalWrites> personal_writes_;
  std::unique_ptr<PersonCalls> person_calls_;
  std::unique_ptr<FeedServiceImpl> feed_service_;
  std::unique_ptr<GroupServiceImpl> group_service_;
  std::unique_ptr<PersonServiceImpl> person_service_;
  std::unique_ptr<SyncCalls> sync_calls_;
  std::unique_ptr<ImportServiceImpl> import_service_;
  LocalNodeView node_view_;
  std::unique_ptr<AdminCalls> admin_calls_;
  std::unique_ptr<AdminServiceImpl> admin_service_;
};

}  // namespace klatch
