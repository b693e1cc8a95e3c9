#include "tests/sim/sim_redis.h"

#include <algorithm>
#include <utility>

#include "common/redis/channel.h"

namespace klatch::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr milliseconds kPipelineTimeout{5'000};
// At most, until the replica and the disk have what the master has.
constexpr int64_t kReplicaLagMs = 200;
constexpr int64_t kDiskLagMs = 1'000;

absl::Status Broken(std::string_view reason) {
  return base::WithReason(base::Error(absl::StatusCode::kUnavailable, "the connection broke"),
                          reason);
}

}  // namespace

SimRedis::SimRedis(Scheduler& scheduler, const MachineClock& clock, Disk disk)
    : scheduler_(scheduler), clock_(clock), disk_(disk) {
  fake_.facts.run_id = "run-1";
  fake_.facts.in_sync_replicas = 1;
  fake_.facts.is_append_only = true;
  fake_.facts.append_fsync = disk == Disk::kAlways ? "always" : "everysec";
  scheduler_.Spawn("replication", [this] {
    while (!scheduler_.finishing()) {
      scheduler_.SleepFor(milliseconds(scheduler_.random().Between(1, kReplicaLagMs)));
      Copy();
    }
  });
  scheduler_.Spawn("disk", [this] {
    while (!scheduler_.finishing()) {
      scheduler_.SleepFor(milliseconds(scheduler_.random().Between(100, kDiskLagMs)));
      if (reachable()) {
        on_disk_ = fake_.data();
      }
    }
  });
  scheduler_.Spawn("network", [this] { RunNetwork(); });
}

void SimRedis::Copy() {
  if (is_replica_linked_ && reachable() && scheduler_.clock().now() >= synced_from_) {
    replica_ = fake_.data();
    is_replica_synced_ = true;
    fake_.facts.in_sync_replicas = 1;
  }
}

void SimRedis::RunNetwork() {
  while (!scheduler_.finishing()) {
    scheduler_.SleepFor(milliseconds(scheduler_.random().Between(1, 300)));
    if (late_.empty() || !reachable()) {
      continue;
    }
    const Late late = std::move(late_.front());
    late_.pop_front();
    if (late.link->incarnation == incarnation_) {
      static_cast<void>(Execute(*late.link, late.command));
      scheduler_.Note("late");
    }
  }
}

void SimRedis::Begin(Data data, nanoseconds down) {
  fake_.Restore(std::move(data));
  ++incarnation_;
  fake_.Restart("run-" + std::to_string(incarnation_));
  down_until_ = scheduler_.clock().now() + down;
  paused_until_ = nanoseconds(0);
}

void SimRedis::Restart(nanoseconds down) {
  scheduler_.Note("restart");
  BreakConnections();
  Begin(disk_ == Disk::kAlways ? fake_.data() : on_disk_, down);
  replica_ = fake_.data();  // it follows whatever the master has
}

void SimRedis::FailOver(nanoseconds down, nanoseconds former_for) {
  if (!is_replica_synced_) {
    return;  // there is nobody to take its place
  }
  scheduler_.Note("fail over");
  if (former_for > nanoseconds(0)) {
    KeepFormer(former_for);
  } else {
    BreakConnections();
  }
  Begin(replica_, down);
  on_disk_ = fake_.data();
  is_replica_linked_ = true;
  is_replica_synced_ = false;
  fake_.facts.in_sync_replicas = 0;
  synced_from_ = scheduler_.clock().now() + down + milliseconds(scheduler_.random().Below(2'000));
}

// What a connection watches does not move over, so those that watch something break.
void SimRedis::KeepFormer(nanoseconds time) {
  former_ = std::make_unique<FakeRedis>();
  former_->facts = fake_.facts;
  former_->Restore(fake_.data());
  former_until_ = scheduler_.clock().now() + time;
  for (const std::shared_ptr<Link>& link : links_) {
    link->is_broken = link->is_broken || link->is_at_former || link->is_watching ||
                      link->session.is_in_transaction();
    link->is_at_former = true;
    link->session = FakeRedis::Session();
  }
}

void SimRedis::Pause(nanoseconds time) { paused_until_ = scheduler_.clock().now() + time; }

void SimRedis::BreakConnections() {
  for (const std::shared_ptr<Link>& link : links_) {
    link->is_broken = true;
  }
  links_.clear();
}

void SimRedis::CutOff(const std::string& node, nanoseconds time) {
  for (const std::shared_ptr<Link>& link : links_) {
    link->is_broken = link->is_broken || link->node == node;
  }
  cut_off_until_[node] = scheduler_.clock().now() + time;
}

void SimRedis::Heal() {
  cut_off_until_.clear();
  writes_left_ = 0;
  break_one_in_ = 0;
  is_replica_linked_ = true;
  paused_until_ = nanoseconds(0);
}

std::shared_ptr<SimRedis::Link> SimRedis::Connect(const std::string& node) {
  const auto cut_off = cut_off_until_.find(node);
  const bool is_cut_off =
      cut_off != cut_off_until_.end() && scheduler_.clock().now() < cut_off->second;
  if (!reachable() || is_cut_off || scheduler_.finishing()) {
    return nullptr;
  }
  auto link = std::make_shared<Link>();
  link->node = node;
  link->incarnation = incarnation_;
  links_.push_back(link);
  return link;
}

redis::Reply SimRedis::Execute(Link& link, const redis::Command& command) {
  const nanoseconds now = clock_.Steady() + skew_;
  fake_.now_us = std::chrono::duration_cast<microseconds>(now).count();
  scheduler_.Note(command.args[0]);
  const std::string& word = command.args[0];
  link.is_watching = word == "WATCH" || (link.is_watching && word != "EXEC" && word != "UNWATCH");
  FakeRedis& server = link.is_at_former ? *former_ : fake_;
  server.now_us = fake_.now_us;
  redis::Reply reply =
      word == "XTRIM" ? TrimLog(server, link, command) : server.Execute(link.session, command);
  CountWrite(word);
  return reply;
}

redis::Reply SimRedis::TrimLog(FakeRedis& server, Link& link, const redis::Command& command) {
  const std::string& log = command.args[1];
  const auto entries_of = [&] {
    const auto found = server.data().find(log);
    const Stream* stream =
        found == server.data().end() ? nullptr : std::get_if<Stream>(&found->second.value);
    return stream != nullptr ? stream->entries : std::map<StreamId, Stream::Fields>();
  };
  const auto before = entries_of();
  redis::Reply reply = server.Execute(link.session, command);
  const auto after = entries_of();
  FakeRedis::Session own;
  StreamId last;
  for (const auto& [id, fields] : before) {
    if (!after.contains(id)) {
      std::vector<std::string> args = {"XADD", ArchiveOf(log), id.ToString()};
      args.insert(args.end(), fields.begin(), fields.end());
      static_cast<void>(server.Execute(own, args));
      last = id;
    }
  }
  if (last != StreamId() && !is_cutting_ && on_trim) {
    on_trim(server.data(), log, last);
  }
  return reply;
}

void SimRedis::CutLog(const std::string& log) {
  scheduler_.Note("cut");
  Link link;
  is_cutting_ = true;
  static_cast<void>(Execute(link, redis::Command{"XTRIM", log, "MAXLEN", "1"}));
  is_cutting_ = false;
}

void SimRedis::AfterWrites(uint64_t count, std::function<void()> then) {
  writes_left_ = count;
  after_writes_ = std::move(then);
}

void SimRedis::CountWrite(std::string_view word) {
  if (writes_left_ != 0 && (word == "EVALSHA" || word == "EXEC") && --writes_left_ == 0) {
    std::exchange(after_writes_, nullptr)();
  }
}

std::optional<redis::Reply> SimRedis::Call(const std::shared_ptr<Link>& link,
                                           const redis::Command& command, nanoseconds timeout) {
  scheduler_.Yield();
  if (!link->is_broken && paused_until_ > scheduler_.clock().now()) {
    // It stays in the socket; who waits too long gives up, and it is carried out all the same.
    scheduler_.WaitUntil(
        [&] { return link->is_broken || paused_until_ <= scheduler_.clock().now(); }, timeout,
        milliseconds(5));
    if (!link->is_broken && paused_until_ > scheduler_.clock().now()) {
      link->is_broken = true;
      late_.push_back({link, command});
      return std::nullopt;
    }
  }
  if (link->is_broken || scheduler_.finishing() ||
      (link->is_at_former && scheduler_.clock().now() >= former_until_)) {
    link->is_severed = true;
    link->is_broken = true;
    return std::nullopt;
  }
  if (break_one_in_ != 0 && scheduler_.random().OneIn(break_one_in_)) {
    Break(link, command);
    return std::nullopt;
  }
  if (command.args[0] == "WAIT") {
    redis::Reply reply = Wait(*link, command);
    return link->is_broken ? std::nullopt : std::optional(std::move(reply));
  }
  redis::Reply reply = Execute(*link, command);
  if (disk_ == Disk::kAlways) {
    scheduler_.Yield();  // the sync; others come in between
    if (link->is_broken) {
      return std::nullopt;
    }
  }
  return reply;
}

// Before the command is carried out, behind it, or the command comes late.
void SimRedis::Break(const std::shared_ptr<Link>& link, const redis::Command& command) {
  link->is_broken = true;
  scheduler_.Note("break");
  const uint64_t when = scheduler_.random().Below(3);
  if (when == 0) {
    static_cast<void>(Execute(*link, command));
  } else if (when == 1) {
    late_.push_back({link, command});
  } else {
    link->is_severed = true;
  }
}

redis::Reply SimRedis::Wait(Link& link, const redis::Command& command) {
  const int64_t timeout_ms = std::stoll(command.args[2]);
  const auto reaches_replica = [&] {
    return is_replica_linked_ && is_replica_synced_ && reachable() && !link.is_at_former;
  };
  if (reaches_replica()) {
    scheduler_.SleepFor(microseconds(scheduler_.random().Between(100, 3'000)));
  } else if (command.args[1] != "0") {
    scheduler_.SleepFor(milliseconds(timeout_ms));
  }
  const bool has_all = reaches_replica() && !link.is_broken;
  if (has_all) {
    replica_ = fake_.data();
  }
  // What INFO says stays so for ten seconds after a replica has gone.
  FakeRedis& server = link.is_at_former ? *former_ : fake_;
  const uint32_t in_sync = std::exchange(server.facts.in_sync_replicas, has_all ? 1 : 0);
  redis::Reply reply = Execute(link, command);
  server.facts.in_sync_replicas = in_sync;
  return reply;
}

void SimRedis::Abandon(const std::shared_ptr<Link>& link,
                       std::span<const redis::Command> commands) {
  // What stands behind something that never comes never comes either.
  if (!link->is_severed && scheduler_.random().OneIn(2)) {
    for (const redis::Command& command : commands) {
      late_.push_back({link, command});
    }
  }
}

absl::Status SimConnection::Reconnect() {
  scheduler_.SleepFor(microseconds(500));
  link_ = redis_.Connect(node_);
  return link_ != nullptr ? absl::OkStatus() : Broken(redis::kReasonNotSent);
}

absl::StatusOr<std::vector<redis::Reply>> SimConnection::CallAll(
    std::span<const redis::Command> commands) {
  if (link_ == nullptr || link_->is_broken) {
    link_ = nullptr;
    return Broken(redis::kReasonNotSent);
  }
  std::vector<redis::Reply> replies;
  for (size_t i = 0; i < commands.size(); ++i) {
    std::optional<redis::Reply> reply = redis_.Call(link_, commands[i], timeout_);
    if (!reply) {
      redis_.Abandon(link_, commands.subspan(i + 1));
      link_ = nullptr;
      return Broken(redis::kReasonOutcomeUnknown);
    }
    replies.push_back(*std::move(reply));
  }
  return replies;
}

SimPipeline::SimPipeline(Scheduler& scheduler, SimRedis& redis, std::string node,
                         std::string_view purpose)
    : scheduler_(scheduler),
      redis_(redis),
      node_(std::move(node)),
      actor_(scheduler.Spawn(node_ + std::string(purpose), [this] { Run(); })) {}

void SimPipeline::Submit(std::vector<redis::Command> commands, Callback done) {
  SubmitOver(0, std::move(commands), std::move(done));
}

void SimPipeline::SubmitOver(uint64_t connection, std::vector<redis::Command> commands,
                             Callback done) {
  queue_.push_back({connection, std::move(commands), std::move(done)});
  scheduler_.Wake(actor_);
}

void SimPipeline::Stop() {
  is_stopping_ = true;
  scheduler_.Wake(actor_);
}

void SimPipeline::Run() {
  while (!(is_stopping_ || scheduler_.finishing()) || !queue_.empty()) {
    if (queue_.empty()) {
      scheduler_.SleepFor(std::chrono::hours(1));
      continue;
    }
    const Group group = std::move(queue_.front());
    queue_.pop_front();
    group.done(CarryOut(group));
  }
}

redis::Pipeline::Replies SimPipeline::CarryOut(const Group& group) {
  if (link_ == nullptr || link_->is_broken) {
    scheduler_.SleepFor(milliseconds(scheduler_.random().Between(1, 20)));
    link_ = redis_.Connect(node_);
    ++connection_;
  }
  if (link_ == nullptr || (group.connection != 0 && group.connection != connection_)) {
    return Broken(redis::kReasonNotSent);
  }
  std::vector<redis::Reply> replies;
  for (size_t i = 0; i < group.commands.size(); ++i) {
    std::optional<redis::Reply> reply = redis_.Call(link_, group.commands[i], kPipelineTimeout);
    if (!reply) {
      redis_.Abandon(link_, std::span(group.commands).subspan(i + 1));
      return Broken(redis::kReasonOutcomeUnknown);
    }
    replies.push_back(*std::move(reply));
  }
  return replies;
}

}  // namespace klatch::sim
