#include "tests/sim/sim_node.h"

#include <algorithm>
#include <utility>

#include "common/redis/probe.h"
#include "services/log/namespace_facts.h"

namespace klatch::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr milliseconds kLease{3'000};
constexpr milliseconds kTakePause{100};
constexpr milliseconds kFlushInterval{250};
constexpr seconds kCallTimeout{5};
constexpr size_t kRingSlots = 1'024;
constexpr size_t kWatchItems = 1'024;  // room for many is what a world would spend its time on
constexpr uint32_t kGroupsMax = 4'096;
constexpr seconds kCatchUpMax{60};
constexpr milliseconds kSweepPause{1'000};
constexpr seconds kSweepMax{600};
constexpr milliseconds kIdle{4};  // until it looks again whether there is something to do

Acks::Options AcksOptions(AckClass ack) {
  return {.usual = ack, .wait_max = milliseconds(2'000), .slice = milliseconds(200)};
}

}  // namespace

Core::Core(Scheduler& scheduler, const MachineClock& clock, SimRedis& redis, const Layout& layout,
           std::string node_id, Options options, std::shared_ptr<NodeMemory> memory)
    : scheduler_(scheduler),
      clock_(clock),
      redis_(redis),
      layout_(layout),
      node_id_(std::move(node_id)),
      options_(std::move(options)),
      memory_(std::move(memory)),
      executor_(0, "sim"),
      personal_(1, epochs_),
      people_(layout_, epochs_),
      groups_(layout_, kGroupsMax),
      sizes_(groups_, {}),
      bodies_(1 << 20),
      ring_(kRingSlots, kWorkers),
      progress_(layout_.shard_count, kWorkers, executor_, clock),
      leases_(layout_, node_id_, kLease, clock, memory_->others_leases),
      log_clock_(clock),
      appends_(scheduler, redis, node_id_, " appends"),
      one_copy_(scheduler, redis, node_id_, " one copy"),
      all_copies_(scheduler, redis, node_id_, " all copies"),
      acks_(one_copy_, all_copies_, layout_, memory_->has_seen_replicas, clock,
            AcksOptions(options_.ack)),
      reads_(scheduler, redis, node_id_, " reads"),
      stored_(reads_, layout_),
      log_end_(reads_, layout_),
      facts_(stored_, log_end_),
      log_reader_([this] { return Connect(); }, milliseconds(1), layout_, log_clock_) {
  RedisAppender::Options appending;
  appending.acks = &acks_;
  appender_ = std::make_unique<RedisAppender>(appends_, layout_, log_clock_, appending);
  sweeper_ = std::make_unique<Sweeper>(layout_.shard_count, *appender_, facts_, clock_);
  actors_ = {reads_.actor(), appends_.actor(), one_copy_.actor(), all_copies_.actor()};
}

Core::~Core() {
  progress_.Stop();
  executor_.Stop();
}

absl::StatusOr<std::unique_ptr<redis::Connection>> Core::Connect() {
  auto connection = std::make_unique<SimConnection>(scheduler_, redis_, node_id_, kCallTimeout);
  KLATCH_RETURN_IF_ERROR(connection->Reconnect());
  return connection;
}

void Core::Loop(std::string name, std::function<nanoseconds()> step) {
  actors_.push_back(
      scheduler_.Spawn(node_id_ + " " + std::move(name), [this, step = std::move(step)] {
        while (!over()) {
          scheduler_.SleepFor(clock_.UntilPassed(step()));
        }
      }));
}

absl::StatusOr<std::string> Core::Claim(redis::Connection& redis) {
  KLATCH_ASSIGN_OR_RETURN(redis::ServerFacts server, redis::Probe(redis));
  memory_->others_leases.Meet(server.run_id);
  guard_ = std::make_unique<redis::RunGuard>(std::move(server.run_id));
  KLATCH_ASSIGN_OR_RETURN(NamespaceFacts facts, OpenNamespace(redis, layout_));
  // TakeAll's own waiting would stop the time.
  while (!over()) {
    const absl::Status taken = leases_.TakeAll(redis, clock_.Monotonic());
    if (taken.ok()) {
      return facts.cursor_key;
    }
    if (!redis.connected()) {
      return taken;
    }
    scheduler_.SleepFor(kTakePause);
  }
  return absl::UnavailableError("stopping");
}

absl::Status Core::Start() {
  KLATCH_ASSIGN_OR_RETURN(auto redis, Connect());
  KLATCH_ASSIGN_OR_RETURN(std::string cursor_key, Claim(*redis));
  KLATCH_ASSIGN_OR_RETURN(auto lease_redis, Connect());
  leases_.Begin(std::move(lease_redis), *guard_);
  Loop("leases", [this]() -> nanoseconds {
    static_cast<void>(leases_.DoWork());
    return kLease / 3;
  });
  std::vector<Worker*> workers;
  for (uint32_t i = 0; i < kWorkers; ++i) {
    slices_.push_back(
        std::make_unique<Slice>(i, layout_,
                                Worker::Dependencies{layout_, ring_, progress_, epochs_, sizes_,
                                                     clock_, milliseconds(0), kWatchItems}));
    slices_.back()->worker.AnswerAtOnce();
    people_.Add(slices_.back()->persons);
    workers.push_back(&slices_.back()->worker);
  }
  Recovery recovery({.layout = layout_,
                     .redis = *redis,
                     .log = log_reader_,
                     .trail = memory_->trail,
                     .groups = groups_,
                     .workers = workers,
                     .clock = clock_});
  KLATCH_RETURN_IF_ERROR(recovery.FollowTrail());
  KLATCH_ASSIGN_OR_RETURN(LoadSummary summary, recovery.Load());
  std::vector<Position> replay_after = std::move(summary.replay_after);
  KLATCH_ASSIGN_OR_RETURN(const bool has_taken, recovery.FollowCheckpoint(replay_after));
  for (const auto& slice : slices_) {
    KLATCH_ASSIGN_OR_RETURN(auto flush_redis, Connect());
    slice->flusher =
        std::make_unique<Flusher>(Flusher::Dependencies{layout_, slice->worker, groups_, progress_,
                                                        leases_, *guard_, epochs_, clock_},
                                  std::move(flush_redis), kFlushInterval);
  }
  tailer_ =
      std::make_unique<Tailer>(Tailer::Dependencies{layout_, log_reader_, memory_->trail, groups_,
                                                    bodies_, progress_, ring_, clock_},
                               replay_after, recovery.anchors());
  RedisLogReader ends([this] { return Connect(); }, milliseconds(1), layout_, log_clock_);
  KLATCH_ASSIGN_OR_RETURN(const std::vector<Position> last, ends.LastPositions());
  for (const auto& slice : slices_) {
    slice->worker.Begin(replay_after);
    slice->flusher->Begin();
  }
  Loop("tailer", [this]() -> nanoseconds {
    const auto read = tailer_->failure().ok() ? tailer_->DoWork() : std::nullopt;
    return !read ? milliseconds(50) : *read == 0 ? kIdle : microseconds(0);
  });
  for (const auto& slice : slices_) {
    Loop("worker", [worker = &slice->worker]() -> nanoseconds {
      return worker->DoWork() == 0 ? kIdle : microseconds(0);
    });
    Loop("flusher", [flusher = slice->flusher.get()]() -> nanoseconds {
      return flusher->DoWork() == Flusher::Round::kFailed ? milliseconds(100) : kFlushInterval;
    });
  }
  Loop("executor",
       [this]() -> nanoseconds { return executor_.RunQueued() == 0 ? kIdle : microseconds(0); });
  Loop("sweeper", [this]() -> nanoseconds {
    SweepOnce();
    return kSweepPause;
  });
  if (options_.janitor) {
    KLATCH_ASSIGN_OR_RETURN(auto trim_redis, Connect());
    janitor_ = std::make_unique<Janitor>(layout_, *options_.janitor, std::move(trim_redis), clock_);
    Loop("janitor", [this]() -> nanoseconds {
      janitor_->DoWork();
      return options_.janitor->pause;
    });
  }
  const bool has_caught_up = scheduler_.WaitUntil(
      [&] {
        bool is_applied = true;
        for (uint32_t shard = 0; shard < layout_.shard_count; ++shard) {
          is_applied = is_applied && progress_.Applied(ShardIndex(shard)) >= last[shard];
        }
        return is_applied || !health().ok() || over();
      },
      kCatchUpMax);
  KLATCH_RETURN_IF_ERROR(health());
  if (!has_caught_up) {
    return base::Error(absl::StatusCode::kDeadlineExceeded, "it does not catch up");
  }
  feed_reads_ = std::make_unique<FeedReads>(FeedReads::Dependencies{.layout = layout_,
                                                                    .people = people_,
                                                                    .personal = personal_,
                                                                    .groups = groups_,
                                                                    .bodies = bodies_,
                                                                    .progress = progress_,
                                                                    .ownership = leases_,
                                                                    .redis = reads_,
                                                                    .executor = executor_,
                                                                    .clock = clock_,
                                                                    .cursor_key = cursor_key});
  const auto tickets = AskDrain();
  if (has_taken && scheduler_.WaitUntil([&] { return Drained(tickets) || over(); }, seconds(2)) &&
      !over()) {
    memory_->trail.NoteMended();
  }
  return absl::OkStatus();
}

void Core::SweepOnce() {
  // Outlives the wait: it may be under way when this core ends.
  auto has_ended = std::make_shared<bool>(false);
  base::Spawn([](base::Task<size_t> sweeping, std::shared_ptr<bool> ended) -> base::Task<void> {
    static_cast<void>(co_await std::move(sweeping));
    *ended = true;
  }(sweeper_->Sweep(), has_ended));
  scheduler_.WaitUntil([&] { return *has_ended || over(); }, kSweepMax, milliseconds(20));
}

void Core::Stop() {
  is_stopping_ = true;
  for (SimPipeline* pipeline : {&reads_, &appends_, &one_copy_, &all_copies_}) {
    pipeline->Stop();
  }
}

bool Core::HasStopped() const {
  return std::ranges::all_of(actors_, [this](Scheduler::Id id) { return scheduler_.HasEnded(id); });
}

absl::Status Core::health() const {
  if (const auto lost = leases_.lost()) {
    return base::Error(absl::StatusCode::kAborted, "another node has taken a lease");
  }
  if (guard_ && guard_->changed()) {
    return base::WithReason(base::Error(absl::StatusCode::kUnavailable, "Redis was restarted"),
                            "RELOAD");
  }
  return tailer_ ? tailer_->failure() : absl::OkStatus();
}

bool Core::Holds(PartitionIndex partition) const {
  return leases_.Holds(partition, clock_.Monotonic());
}

bool Core::HoldsAll() const {
  for (uint32_t i = 0; i < layout_.partition_count; ++i) {
    if (!Holds(PartitionIndex(i))) {
      return false;
    }
  }
  return true;
}

std::vector<uint64_t> Core::AskDrain() {
  std::vector<uint64_t> tickets;
  for (const auto& slice : slices_) {
    tickets.push_back(slice->flusher->AskDrain());
  }
  return tickets;
}

bool Core::Drained(const std::vector<uint64_t>& tickets) const {
  for (size_t i = 0; i < tickets.size(); ++i) {
    if (!slices_[i]->flusher->Drained(tickets[i])) {
      return false;
    }
  }
  return true;
}

bool Core::HasHoles() const {
  for (const auto& slice : slices_) {
    if (slice->worker.holes() != 0) {
      return true;
    }
  }
  return false;
}

std::optional<Core::View> Core::Find(const PersonId& person) const {
  const Slice& slice = *slices_[layout_.PartitionOf(person).value() % kWorkers];
  const Person* found = slice.persons.Find(person.value());
  if (found == nullptr) {
    return std::nullopt;
  }
  return View{found, &slice.persons.arena(), &slice.persons.Home(found->index)};
}

}  // namespace klatch::sim
