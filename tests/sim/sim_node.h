#pragma once
// The core of a node in the simulation: log, tailer, workers, flushers and leases, as klatchd wires them,
// each loop an actor. It claims the namespace, recovers, follows the log, and begins anew when
// its log forks or its Redis is another, as klatchd's lifecycle does.
//
// Thread safety: by whose turn it is. Killed or not, it is taken apart only when the scheduler has
// finished: its actors may stand anywhere in the product's code.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/executor.h"
#include "common/lockfree/broadcast_ring.h"
#include "common/lockfree/epoch.h"
#include "services/accept/redis_facts.h"
#include "services/accept/sweeper.h"
#include "services/deliver/tailer.h"
#include "services/deliver/worker.h"
#include "services/klatchd/local_people.h"
#include "services/klatchd/node_memory.h"
#include "services/klatchd/recovery.h"
#include "services/log/acks.h"
#include "services/log/bodies.h"
#include "services/log/janitor.h"
#include "services/log/log_clock.h"
#include "services/log/log_end.h"
#include "services/log/redis_appender.h"
#include "services/log/redis_log_reader.h"
#include "services/materialize/flusher.h"
#include "services/persons/group_sizes.h"
#include "services/persons/lease_keeper.h"
#include "services/persons/person_store.h"
#include "services/read/feed_reads.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/sim_redis.h"

namespace klatch::sim {

// One life between two loads.
class Core {
 public:
  struct Options {
    AckClass ack = AckClass::kLocal;
    std::optional<Janitor::Options> janitor;  // nothing: it trims no logs
  };
  // `clock`: of the machine that it runs on; outlives it.
  Core(Scheduler& scheduler, const MachineClock& clock, SimRedis& redis, const Layout& layout,
       std::string node_id, Options options, std::shared_ptr<NodeMemory> memory);
  ~Core();

  // As Node::Start: until it has caught up. By the actor of the process.
  absl::Status Start();
  // Why it should begin anew, or end.
  absl::Status health() const;
  // Its actors' loops end.
  void Stop();
  bool HasStopped() const;

  Appender& appender() { return *appender_; }
  // Null until it serves.
  FeedReads* feed_reads() { return feed_reads_.get(); }
  bool Applied(Position position) const { return progress_.Applied(position.shard()) >= position; }
  bool Holds(PartitionIndex partition) const;
  bool HoldsAll() const;
  // Whether every flusher has written what its worker had applied by now.
  std::vector<uint64_t> AskDrain();
  bool Drained(const std::vector<uint64_t>& tickets) const;
  bool HasHoles() const;

  // Of a person, as reads see them: null if unknown here.
  struct View {
    const Person* person;
    const lockfree::RingArena* arena;
    lockfree::TimelineRing* home;
  };
  std::optional<View> Find(const PersonId& person) const;
  const MachineClock& clock() const { return clock_; }
  GroupDirectory& groups() { return groups_; }
  lockfree::EpochReclaimer& epochs() { return epochs_; }
  const std::vector<Scheduler::Id>& actors() const { return actors_; }

 private:
  struct Slice {
    Slice(uint32_t index, const Layout& layout, Worker::Dependencies dependencies)
        : persons(layout, kPersonsMax, kRingBytesMax),
          worker(index, kWorkers, dependencies, persons) {}

    static constexpr uint32_t kPersonsMax = 256;
    static constexpr size_t kRingBytesMax = 16 << 20;

    PersonStore persons;
    Worker worker;
    std::unique_ptr<Flusher> flusher;
  };
  static constexpr uint32_t kWorkers = 2;

  absl::StatusOr<std::unique_ptr<redis::Connection>> Connect();
  // Yields the namespace's key for cursors.
  absl::StatusOr<std::string> Claim(redis::Connection& redis);
  void Loop(std::string name, std::function<std::chrono::nanoseconds()> step);
  void SweepOnce();
  bool over() const { return is_stopping_ || scheduler_.finishing(); }

  Scheduler& scheduler_;
  const MachineClock& clock_;
  SimRedis& redis_;
  const Layout layout_;
  const std::string node_id_;
  const Options options_;
  const std::shared_ptr<NodeMemory> memory_;
  bool is_stopping_ = false;

  base::Executor executor_;
  lockfree::EpochReclaimer epochs_;
  PersonalStore personal_;
  LocalPeople people_;
  GroupDirectory groups_;
  GroupSizes sizes_;
  BodyStore bodies_;
  lockfree::BroadcastRing<Event> ring_;
  Progress progress_;
  std::unique_ptr<redis::RunGuard> guard_;
  LeaseKeeper leases_;
  std::vector<std::unique_ptr<Slice>> slices_;
  LogClock log_clock_;
  SimPipeline appends_;
  SimPipeline one_copy_;
  SimPipeline all_copies_;
  Acks acks_;
  std::unique_ptr<RedisAppender> appender_;
  SimPipeline reads_;
  Bodies stored_;
  LogEnd log_end_;
  RedisFacts facts_;
  std::unique_ptr<Sweeper> sweeper_;
  RedisLogReader log_reader_;
  std::unique_ptr<Tailer> tailer_;
  std::unique_ptr<Janitor> janitor_;
  std::unique_ptr<FeedReads> feed_reads_;
  std::vector<Scheduler::Id> actors_;
};

}  // namespace klatch::sim
