#include "services/klatchd/node.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "common/base/failpoint.h"
#include "common/obs/log.h"
#include "services/klatchd/node_slice.h"
#include "services/klatchd/redis_rights.h"
#include "services/personal/personal_loader.h"

namespace klatch {
namespace {

constexpr size_t kRingSlots = 16'384;
constexpr std::chrono::milliseconds kLogReadTimeout{5'000};
constexpr std::chrono::milliseconds kCatchUpReport{2'000};
constexpr std::chrono::milliseconds kCatchUpCheck{2};
constexpr std::chrono::milliseconds kDrainCheck{200};
constexpr std::chrono::milliseconds kMendedWait{2'000};
constexpr std::chrono::milliseconds kCopiesSlice{200};
// Others' leases run out within one duration of theirs; who waits for longer says for whom, and goes on.
constexpr int kLeaseWaits = 2;

// Room beyond --persons-max and --groups-max for what is in the log when they are reached: calls
// that were admitted at the same time. A record that finds no room stops the node.
constexpr uint32_t kPersonsReserve = 262'144;
constexpr uint32_t kGroupsReserve = 65'536;

// Hashing spreads persons unevenly, so a worker has room for an eighth more than its part; it is
// address space only.
uint32_t SliceOf(uint32_t persons_max, uint32_t count) {
  const uint32_t part = persons_max / count;
  return (count == 1 ? part : part + part / 8) + kPersonsReserve;
}

redis::Pipeline::Options PipelineOptions(std::string name, const KlatchdOptions& options,
                                         const redis::Cutoff& cutoff) {
  redis::Pipeline::Options result;
  result.cutoff = &cutoff;
  result.name = std::move(name);
  result.call_timeout = options.redis_call_timeout;
  return result;
}

absl::Status Late(std::string_view step) {
  return base::Error(absl::StatusCode::kDeadlineExceeded,
                     fmt::format("{} did not end within --drain-timeout", step));
}

RedisAppender::Options AppenderOptions(const KlatchdOptions& options, Acks& acks,
                                       std::function<double()> open_share) {
  return {options.body_retention, options.once_retention, options.redis_call_timeout,
          std::move(open_share), &acks};
}

Acks::Options AcksOptions(const KlatchdOptions& options) {
  return {.usual = options.ack,
          .strict_replicas_min = options.strict_replicas,
          .wait_max = options.ack_timeout,
          .slice = std::min(kCopiesSlice, options.redis_call_timeout / 2)};
}

}  // namespace

Layout LayoutOf(const KlatchdOptions& options) {
  return Layout{options.namespaces.front(), options.shards, options.partitions};
}

Node::Node(const KlatchdOptions& options, redis::Address address, std::string node_id,
           const base::Clock& clock, NodeMemory& memory, Door* door)
    : options_(options),
      layout_(LayoutOf(options)),
      address_(std::move(address)),
      node_id_(std::move(node_id)),
      clock_(clock),
      trail_(memory.trail),
      door_(door),
      loaded_(clock.Monotonic()),
      executor_(options.call_threads, "calls"),
      personal_(options.persons_max, epochs_),
      groups_(layout_, options.groups_max + kGroupsReserve),
      sizes_(groups_, {.above = options.pull_above}),
      bodies_(static_cast<size_t>(options.body_cache_bytes)),
      ring_(kRingSlots, WorkerCount(options, std::thread::hardware_concurrency())),
      progress_(layout_.shard_count, static_cast<uint32_t>(ring_.consumers()), executor_, clock),
      others_leases_(memory.others_leases),
      leases_(layout_, node_id_, options.lease_duration, clock, others_leases_),
      people_(layout_, epochs_),
      pressure_(clock, people_, groups_,
                {.persons_max = options.persons_max,
                 .groups_max = options.groups_max,
                 .person_groups_max = options.person_groups_max}),
      gate_(options.calls_max),
      append_pipeline_(address_, PipelineOptions("append", options, cutoff_)),
      read_pipeline_(address_, PipelineOptions("read", options, cutoff_)),
      one_copy_pipeline_(address_, PipelineOptions("one copy", options, cutoff_)),
      all_copies_pipeline_(address_, PipelineOptions("all copies", options, cutoff_)),
      acks_(one_copy_pipeline_, all_copies_pipeline_, layout_, memory.has_seen_replicas, clock,
            AcksOptions(options)),
      appender_(append_pipeline_, layout_, log_clock_,
                AppenderOptions(options, acks_, [this] { return admission_.OpenShare(); })),
      log_reader_(address_,
                  {.connect_timeout = std::chrono::milliseconds(1'000),
                   .call_timeout = kLogReadTimeout,
                   .cutoff = &cutoff_},
                  layout_, log_clock_),
      admission_(appender_, pressure_,
                 {.queue_time_max = options.admission_queue_time,
                  .unflushed_age_max = options.admission_flush_age}),
      rates_({.per_second = options.actor_posts_max, .burst = options.actor_posts_burst}, clock),
      barrier_(progress_, leases_, layout_, clock),
      bodies_reader_(read_pipeline_, layout_),
      group_store_(read_pipeline_, layout_),
      log_end_(read_pipeline_, layout_),
      facts_(bodies_reader_, log_end_),
      group_reader_(group_store_),
      person_groups_(layout_, people_, groups_, leases_, clock),
      group_rights_(person_groups_, group_reader_),
      calls_(clock, gate_, door, options.audit),
      node_view_([this] { return AdminFacts(); }) {}

Node::~Node() {
  // Against the flow: nothing below may call what is gone.
  if (janitor_) {
    janitor_->Stop();
  }
  if (keeper_) {
    keeper_->Stop();
  }
  if (sweeper_) {
    sweeper_->Stop();
  }
  if (ticker_) {
    ticker_->Stop();
  }
  if (switcher_) {
    switcher_->Stop();
  }
  if (tailer_) {
    tailer_->Stop();
  }
  if (live_) {
    live_->Stop();
  }
  for (const auto& slice : slices_) {
    if (slice->flusher) {
      slice->flusher->Stop();
    }
    slice->worker.Stop();
  }
  leases_.Stop();
  progress_.Stop();
  executor_.Stop();
}

absl::StatusOr<std::unique_ptr<redis::Connection>> Node::Connect() const {
  redis::Connection::Options connection;
  connection.call_timeout = options_.redis_call_timeout;
  connection.cutoff = &cutoff_;
  return redis::Connection::Connect(address_, connection);
}

std::vector<Worker*> Node::Workers() const {
  std::vector<Worker*> workers;
  for (const auto& slice : slices_) {
    workers.push_back(&slice->worker);
  }
  return workers;
}

absl::Status Node::Start(const Interrupted& interrupted) {
  KLATCH_ASSIGN_OR_RETURN(auto redis, Connect());
  auto claimed = Claim(*redis, interrupted);
  if (absl::IsResourceExhausted(claimed.status())) {
    // Out of memory: it mends when something else in this Redis goes, or its limit is raised.
    return base::Error(absl::StatusCode::kUnavailable, base::MessageOf(claimed.status()));
  }
  KLATCH_ASSIGN_OR_RETURN(const NamespaceFacts facts, std::move(claimed));
  KLATCH_ASSIGN_OR_RETURN(auto lease_redis, Connect());
  leases_.Start(std::move(lease_redis), *guard_);
  KLATCH_FAILPOINT("leases-taken");
  AddSlices();
  Recovery recovery({.layout = layout_,
                     .redis = *redis,
                     .log = log_reader_,
                     .trail = trail_,
                     .groups = groups_,
                     .workers = Workers(),
                     .clock = clock_,
                     .interrupted = interrupted});
  KLATCH_RETURN_IF_ERROR(recovery.FollowTrail());
  std::vector<Position> replay_after;
  KLATCH_RETURN_IF_ERROR(Load(*redis, recovery, interrupted, replay_after));
  KLATCH_ASSIGN_OR_RETURN(const bool has_taken, recovery.FollowCheckpoint(replay_after));
  KLATCH_FAILPOINT("state-loaded");
  tailer_ = std::make_unique<Tailer>(Tailer::Dependencies{layout_, log_reader_, trail_, groups_,
                                                          bodies_, progress_, ring_, clock_},
                                     replay_after, recovery.anchors());
  StartLive(facts.cursor_key, replay_after);
  for (const auto& slice : slices_) {
    slice->worker.Start(replay_after);
    slice->flusher->Start();
  }
  // What was appended up to now is applied before anybody is served; the tailer says so only after
  // its first read, which waits for news.
  progress_.NoteHeard(clock_.Monotonic());
  tailer_->Start();
  KLATCH_RETURN_IF_ERROR(CatchUp(interrupted));
  KLATCH_FAILPOINT("log-replayed");
  if (has_taken && AwaitFlushed(clock_.Monotonic() + kMendedWait).ok()) {
    trail_.NoteMended();  // else the next start takes it from the groups once more
  }
  live_->NoteCaughtUp();
  ticker_ = std::make_unique<Ticker>(layout_.shard_count, appender_, progress_, clock_);
  ticker_->Start();
  switcher_ = std::make_unique<DeliverySwitcher>(appender_, groups_, sizes_, progress_, clock_);
  switcher_->Start();
  KLATCH_ASSIGN_OR_RETURN(auto janitor_redis, Connect());
  janitor_ = std::make_unique<Janitor>(
      layout_,
      Janitor::Options{.kept = options_.log_retention, .shard_bytes_max = options_.log_bytes_max},
      std::move(janitor_redis), clock_);
  janitor_->Start();
  KLATCH_RETURN_IF_ERROR(StartKeeper());
  sweeper_ = std::make_unique<Sweeper>(layout_.shard_count, appender_, facts_, clock_);
  sweeper_->Start();
  BuildServices(facts.cursor_key);
  return absl::OkStatus();
}

absl::Status Node::StartKeeper() {
  KLATCH_ASSIGN_OR_RETURN(auto redis, Connect());
  const GroupRetention of_namespace{.count = options_.group_updates_max,
                                    .bytes = static_cast<uint64_t>(options_.group_bytes_max)};
  keeper_ = std::make_unique<RetentionKeeper>(
      layout_, RetentionKeeper::Options{.of_namespace = of_namespace}, std::move(redis), clock_);
  keeper_->Start();
  return absl::OkStatus();
}

absl::StatusOr<NamespaceFacts> Node::Claim(redis::Connection& redis,
                                           const Interrupted& interrupted) {
  KLATCH_ASSIGN_OR_RETURN(redis::ServerFacts server, redis::Probe(redis));
  others_leases_.Meet(server.run_id);
  guard_ = std::make_unique<redis::RunGuard>(std::move(server.run_id));
  KLATCH_RETURN_IF_ERROR(CheckRights(redis, layout_));
  KLATCH_ASSIGN_OR_RETURN(NamespaceFacts facts, OpenNamespace(redis, layout_));
  KLATCH_RETURN_IF_ERROR(leases_.TakeAll(
      redis, clock_.Monotonic() + kLeaseWaits * options_.lease_duration, interrupted));
  return facts;
}

void Node::AddSlices() {
  const uint32_t count = static_cast<uint32_t>(ring_.consumers());
  for (uint32_t i = 0; i < count; ++i) {
    slices_.push_back(std::make_unique<Slice>(
        i, count, SliceOf(options_.persons_max, count),
        static_cast<size_t>(options_.timeline_memory_bytes) / count, layout_,
        Worker::Dependencies{layout_, ring_, progress_, epochs_, sizes_, clock_,
                             options_.quiet_after}));
    people_.Add(slices_.back()->persons);
  }
}

absl::Status Node::Load(redis::Connection& redis, Recovery& recovery,
                        const Interrupted& interrupted, std::vector<Position>& replay_after) {
  const base::MonotonicTime begin = clock_.Monotonic();
  KLATCH_ASSIGN_OR_RETURN(LoadSummary summary, recovery.Load());
  replay_after = std::move(summary.replay_after);
  PersonalLoader personal_loader(layout_, redis, personal_);
  KLATCH_RETURN_IF_ERROR(personal_loader.LoadAll(interrupted));
  for (const auto& slice : slices_) {
    KLATCH_ASSIGN_OR_RETURN(auto flush_redis, Connect());
    slice->flusher =
        std::make_unique<Flusher>(Flusher::Dependencies{layout_, slice->worker, groups_, progress_,
                                                        leases_, *guard_, epochs_, clock_},
                                  std::move(flush_redis), options_.flush_interval);
    pressure_.Add(slice->worker, *slice->flusher);
    node_view_.Add(slice->worker, slice->persons, *slice->flusher);
  }
  const std::chrono::duration<double> took = clock_.Monotonic() - begin;
  obs::Log(obs::Level::kInfo, "node", "loaded",
           {{"persons", summary.persons},
            {"memberships", summary.memberships},
            {"groups", uint64_t{groups_.size()}},
            {"personal", uint64_t{personal_.size()}},
            {"seconds", took.count()}});
  return absl::OkStatus();
}

absl::Status Node::CatchUp(const Interrupted& interrupted) {
  const base::MonotonicTime begin = clock_.Monotonic();
  base::MonotonicTime reported = begin;
  RedisLogReader ends(address_, {.cutoff = &cutoff_}, layout_, log_clock_);
  KLATCH_ASSIGN_OR_RETURN(const std::vector<Position> last, ends.LastPositions());
  while (true) {
    bool applied = true;
    for (uint32_t shard = 0; shard < layout_.shard_count; ++shard) {
      applied = applied && progress_.Applied(ShardIndex(shard)) >= last[shard];
    }
    if (applied) {
      break;
    }
    KLATCH_RETURN_IF_ERROR(health());
    if (interrupted()) {
      return base::Error(absl::StatusCode::kCancelled, "interrupted");
    }
    if (clock_.Monotonic() - reported > kCatchUpReport) {
      reported = clock_.Monotonic();
      obs::Log(obs::Level::kInfo, "node", "catching up", {{"records", tailer_->records()}});
    }
    std::this_thread::sleep_for(kCatchUpCheck);
  }
  const std::chrono::duration<double> took = clock_.Monotonic() - begin;
  obs::Log(obs::Level::kInfo, "node", "caught up",
           {{"records", tailer_->records()}, {"seconds", took.count()}});
  return absl::OkStatus();
}

void Node::StartLive(const std::string& cursor_key, const std::vector<Position>& replay_after) {
  std::vector<WatchTap*> taps;
  for (const auto& slice : slices_) {
    taps.push_back(&slice->worker.watch_tap());
  }
  live_ =
      std::make_unique<WatchHub>(WatchHub::Dependencies{.layout = layout_,
                                                        .people = people_,
                                                        .personal = personal_,
                                                        .groups = groups_,
                                                        .bodies = bodies_,
                                                        .stored_bodies = bodies_reader_,
                                                        .progress = progress_,
                                                        .ownership = leases_,
                                                        .pressure = pressure_,
                                                        .redis = read_pipeline_,
                                                        .executor = executor_,
                                                        .clock = clock_,
                                                        .gate = gate_,
                                                        .cursor_key = cursor_key,
                                                        .body_retention = options_.body_retention,
                                                        .stale_limit = options_.stale_after,
                                                        .watches_max = options_.watches_max,
                                                        .persons_max = options_.watched_persons_max,
                                                        .stall_max = options_.watch_stall_max},
                                 std::move(taps), replay_after);
  live_->Start();
  barrier_.Join(*live_);
}

void Node::BuildServices(const std::string& cursor_key) {
  reads_ =
      std::make_unique<FeedReads>(FeedReads::Dependencies{.layout = layout_,
                                                          .people = people_,
                                                          .personal = personal_,
                                                          .groups = groups_,
                                                          .bodies = bodies_,
                                                          .progress = progress_,
                                                          .ownership = leases_,
                                                          .redis = read_pipeline_,
                                                          .executor = executor_,
                                                          .clock = clock_,
                                                          .cursor_key = cursor_key,
                                                          .body_retention = options_.body_retention,
                                                          .stale_limit = options_.stale_after});
  writes_ = std::make_unique<FeedWrites>(
      FeedWrites::Dependencies{.layout = layout_,
                               .appender = appender_,
                               .bodies = bodies_,
                               .visible = *reads_,
                               .stored = facts_,
                               .rights = group_rights_,
                               .barrier = barrier_,
                               .admission = admission_,
                               .executor = executor_,
                               .clock = clock_,
                               .expire_min = options_.expire_min,
                               .body_retention = options_.body_retention,
                               .rates = &rates_});
  group_calls_ =
      std::make_unique<GroupCalls>(GroupCalls::Dependencies{.layout = layout_,
                                                            .appender = appender_,
                                                            .reader = group_reader_,
                                                            .person_groups = person_groups_,
                                                            .barrier = barrier_,
                                                            .admission = admission_,
                                                            .executor = executor_,
                                                            .clock = clock_,
                                                            .cursor_key = cursor_key,
                                                            .keep_min = options_.expire_min});
  watch_calls_ = std::make_unique<WatchCalls>(*live_, gate_, door_);
  feed_service_ = std::make_unique<FeedServiceImpl>(calls_, *writes_, *reads_, *watch_calls_);
  group_service_ = std::make_unique<GroupServiceImpl>(calls_, *group_calls_);
  sync_calls_ = std::make_unique<SyncCalls>(*group_calls_, gate_, clock_, door_, options_.audit);
  import_service_ =
      std::make_unique<ImportServiceImpl>(calls_, *writes_, *group_calls_, *sync_calls_);
  BuildPersonService(cursor_key);
  BuildAdminService(cursor_key);
}

void Node::BuildPersonService(const std::string& cursor_key) {
  personal_writes_ = std::make_unique<PersonalWrites>(PersonalWrites::Dependencies{
      .layout = layout_,
      .store = personal_,
      .redis = append_pipeline_,
      .acks = &acks_,
      .nonce_of = [this](PartitionIndex partition) -> const std::string& {
        return leases_.NonceOf(partition);
      },
      .note_lost = [this](PartitionIndex partition) { leases_.NoteLost(partition); },
      .executor = executor_,
      .clock = clock_,
      .body_retention = options_.body_retention});
  person_calls_ =
      std::make_unique<PersonCalls>(PersonCalls::Dependencies{.layout = layout_,
                                                              .store = personal_,
                                                              .writes = *personal_writes_,
                                                              .visible = *reads_,
                                                              .timelines = *reads_,
                                                              .barrier = barrier_,
                                                              .ownership = leases_,
                                                              .redis = read_pipeline_,
                                                              .epochs = epochs_,
                                                              .executor = executor_,
                                                              .clock = clock_,
                                                              .cursor_key = cursor_key});
  person_service_ = std::make_unique<PersonServiceImpl>(calls_, *person_calls_);
}

void Node::BuildAdminService(const std::string& cursor_key) {
  admin_calls_ = std::make_unique<AdminCalls>(AdminCalls::Dependencies{.layout = layout_,
                                                                       .node = node_view_,
                                                                       .people = people_,
                                                                       .groups = groups_,
                                                                       .progress = progress_,
                                                                       .ownership = leases_,
                                                                       .redis = read_pipeline_,
                                                                       .bodies = bodies_reader_,
                                                                       .executor = executor_,
                                                                       .clock = clock_,
                                                                       .cursor_key = cursor_key});
  admin_service_ = std::make_unique<AdminServiceImpl>(calls_, *admin_calls_);
}

absl::Status Node::Standing() const {
  if (const auto lost = leases_.lost()) {
    return base::Error(
        absl::StatusCode::kAborted,
        fmt::format("another node has taken the lease of partition {}", lost->value()));
  }
  if (guard_ && guard_->changed()) {
    return base::WithReason(base::Error(absl::StatusCode::kUnavailable, "Redis was restarted"),
                            "RELOAD");
  }
  return absl::OkStatus();
}

absl::Status Node::LogFailure() const {
  for (const auto& slice : slices_) {
    if (slice->worker.failed()) {
      return base::Error(absl::StatusCode::kResourceExhausted,
                         "more persons than --persons-max; raise it and start again");
    }
  }
  return tailer_ ? tailer_->failure() : absl::OkStatus();
}

absl::Status Node::health() const {
  KLATCH_RETURN_IF_ERROR(Standing());
  return LogFailure();
}

bool Node::HoldsLeases() const {
  const base::MonotonicTime now = clock_.Monotonic();
  for (uint32_t i = 0; i < layout_.partition_count; ++i) {
    if (!leases_.Holds(PartitionIndex(i), now)) {
      return false;
    }
  }
  return true;
}

obs::Readiness Node::readiness() const {
  obs::Readiness readiness;
  absl::Status status = health();
  if (!status.ok()) {
    readiness.reasons.push_back(base::MessageOf(status));
  }
  if (!append_pipeline_.connected() || !read_pipeline_.connected()) {
    readiness.reasons.push_back("no connection to " + address_.ToString());
  }
  // Whatever listens there may take connections and yet answer nothing that a lease needs.
  if (!HoldsLeases()) {
    readiness.reasons.push_back("the leases have run out; they can't be renewed at " +
                                address_.ToString());
  }
  const std::chrono::duration<double> silence = clock_.Monotonic() - progress_.LastHeard();
  if (silence > options_.stale_after) {
    readiness.reasons.push_back(
        fmt::format("the log was not heard for {:.1f} s; pages are stale", silence.count()));
  }
  // From this age on posts are refused, too.
  for (const auto& slice : slices_) {
    if (const auto stuck = slice->flusher->stuck(options_.admission_flush_age)) {
      readiness.reasons.push_back("timelines can't be written: " + *stuck);
    }
  }
  readiness.ready = readiness.reasons.empty();
  return readiness;
}

bool Node::CloseCalls(base::MonotonicTime end_waits, base::MonotonicTime deadline) {
  gate_.Close();
  live_->CloseWatches();
  if (gate_.Drain(std::min(end_waits, deadline))) {
    return true;
  }
  progress_.Stop();
  if (admin_calls_) {
    admin_calls_->Stop();
  }
  return gate_.Drain(deadline);
}

absl::Status Node::Drain(base::MonotonicTime end_waits, base::MonotonicTime deadline) {
  if (!CloseCalls(end_waits, deadline)) {
    return Late("calls under way");
  }
  KLATCH_FAILPOINT("calls-closed");
  keeper_->Stop();
  sweeper_->Stop();
  ticker_->Stop();
  switcher_->Stop();
  KLATCH_RETURN_IF_ERROR(AwaitApplied(deadline));
  KLATCH_FAILPOINT("log-drained");
  tailer_->Stop();
  KLATCH_RETURN_IF_ERROR(AwaitFlushed(deadline));
  KLATCH_FAILPOINT("timelines-drained");
  leases_.Stop();
  KLATCH_ASSIGN_OR_RETURN(auto redis, Connect());
  return leases_.Release(*redis);
}

// Until everything that is in the log is applied, or what can be of it.
absl::Status Node::AwaitApplied(base::MonotonicTime deadline) {
  RedisLogReader ends(address_, {.cutoff = &cutoff_}, layout_, log_clock_);
  KLATCH_ASSIGN_OR_RETURN(const std::vector<Position> last, ends.LastPositions());
  for (uint32_t shard = 0; shard < layout_.shard_count; ++shard) {
    while (progress_.Applied(ShardIndex(shard)) < last[shard] && LogFailure().ok()) {
      KLATCH_RETURN_IF_ERROR(Standing());
      if (clock_.Monotonic() > deadline) {
        return Late("applying the log");
      }
      std::this_thread::sleep_for(kCatchUpCheck);
    }
  }
  return absl::OkStatus();
}

absl::Status Node::AwaitFlushed(base::MonotonicTime deadline) {
  for (const auto& slice : slices_) {
    // A worker that has failed answers no flusher; the next start replays its part.
    while (!slice->worker.failed() &&
           !slice->flusher->Drain(std::min(deadline, clock_.Monotonic() + kDrainCheck))) {
      // A restarted Redis takes no writes of this node; the next start replays them from the log.
      KLATCH_RETURN_IF_ERROR(Standing());
      if (clock_.Monotonic() > deadline) {
        return Late("flushing timelines");
      }
    }
  }
  return absl::OkStatus();
}

double Node::FlushedEntryAgeSeconds() const {
  std::chrono::milliseconds oldest{0};
  for (const auto& slice : slices_) {
    oldest = std::max(oldest, slice->flusher->entry_age());
  }
  return std::chrono::duration<double>(oldest).count();
}

}  // namespace klatch
