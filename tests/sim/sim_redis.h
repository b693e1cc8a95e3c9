#pragma once
// A Redis of the simulation, with a replica and a disk that are behind it, and the ways to it: connections
// and pipelines that break, deliver late, and lose answers.
//
//   master ──(now and then, or when somebody WAITs)──▶ replica      FailOver: the replica takes its place;
//      │                                                            the former one may go on for those who talk to it
//      └────(now and then, or at each write)─────────▶ disk         Restart: it loads what is on the disk
//
// What a broken connection had sent may still be carried out, later.
//
// Thread safety: by whose turn it is.

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/redis/connection.h"
#include "common/redis/pipeline.h"
#include "tests/sim/fake_redis.h"
#include "tests/sim/scheduler.h"

namespace klatch::sim {

class SimRedis {
 public:
  enum class Disk { kAlways, kEverySecond };

  // `clock`: of its machine; outlives it.
  SimRedis(Scheduler& scheduler, const MachineClock& clock, Disk disk);

  // How often things go wrong by themselves: once in so many commands; 0: never.
  void set_break_one_in(uint64_t times) { break_one_in_ = times; }

  // The process ends, and is back after `down` with what is on its disk: what was not is lost.
  void Restart(std::chrono::nanoseconds down);
  // The replica is the master now, with what it has; what the old one has besides is lost. It has no
  // replica of its own for a while. `former_for`: so long connections that stand still reach the old one, which
  // carries out what comes; all of that is lost, too.
  void FailOver(std::chrono::nanoseconds down, std::chrono::nanoseconds former_for);
  // Nothing is carried out for so long; connections stand.
  void Pause(std::chrono::nanoseconds time);
  // The replica gets nothing more, until it is linked again.
  void set_replica_linked(bool is_linked) { is_replica_linked_ = is_linked; }
  // All connections end; what was under way may be carried out, or not, or later.
  void BreakConnections();
  // The node's end, and it gets no others for so long; the others' stand.
  void CutOff(const std::string& node, std::chrono::nanoseconds time);
  // Nothing goes wrong any more.
  void Heal();
  void Skew(std::chrono::nanoseconds by) { skew_ += by; }
  // The log keeps its newest record only, whoever has read the others.
  void CutLog(const std::string& log);
  // What was trimmed of a log, and is not lost with its end: a stream of this name, part of what Redis has.
  static std::string ArchiveOf(std::string_view log) { return "archive:" + std::string(log); }
  // Called when anybody's XTRIM has taken something off a log, but not for CutLog: what there is, and up to where
  // it is gone.
  std::function<void(const Data& data, const std::string& log, StreamId last)> on_trim;
  // Once so many more scripts and transactions have been carried out: `then`, before anybody knows of the last.
  void AfterWrites(uint64_t count, std::function<void()> then);

  bool reachable() const { return scheduler_.clock().now() >= down_until_; }
  FakeRedis& fake() { return fake_; }
  const FakeRedis& fake() const { return fake_; }

  // A session of one connection. It is dead once its server, or its connection, is gone.
  struct Link {
    FakeRedis::Session session;
    std::string node;  // whose
    uint64_t incarnation = 0;
    bool is_broken = false;
    bool is_severed = false;  // nothing of what was sent comes any more
    bool is_watching = false;
    bool is_at_former = false;
  };
  // Null: nobody answers.
  std::shared_ptr<Link> Connect(const std::string& node);
  // Nothing: the connection broke, before or after the command was carried out.
  std::optional<redis::Reply> Call(const std::shared_ptr<Link>& link, const redis::Command& command,
                                   std::chrono::nanoseconds timeout);
  // What was sent behind one that broke.
  void Abandon(const std::shared_ptr<Link>& link, std::span<const redis::Command> commands);

 private:
  struct Late {
    std::shared_ptr<Link> link;
    redis::Command command;
  };

  redis::Reply Execute(Link& link, const redis::Command& command);
  redis::Reply TrimLog(FakeRedis& server, Link& link, const redis::Command& command);
  void CountWrite(std::string_view word);
  void Break(const std::shared_ptr<Link>& link, const redis::Command& command);
  redis::Reply Wait(Link& link, const redis::Command& command);
  void Copy();
  void KeepFormer(std::chrono::nanoseconds time);
  void RunNetwork();
  void Begin(Data data, std::chrono::nanoseconds down);

  Scheduler& scheduler_;
  const MachineClock& clock_;
  const Disk disk_;
  FakeRedis fake_;
  Data replica_;
  Data on_disk_;
  std::unique_ptr<FakeRedis> former_;  // null but for a while
  std::chrono::nanoseconds former_until_{0};
  bool is_replica_linked_ = true;
  bool is_replica_synced_ = true;
  std::chrono::nanoseconds synced_from_{0};  // at the earliest
  uint64_t break_one_in_ = 0;
  uint64_t incarnation_ = 1;
  std::chrono::nanoseconds down_until_{0};
  std::chrono::nanoseconds paused_until_{0};
  std::map<std::string, std::chrono::nanoseconds> cut_off_until_;  // by node
  std::chrono::nanoseconds skew_{0};
  bool is_cutting_ = false;
  uint64_t writes_left_ = 0;  // until after_writes_
  std::function<void()> after_writes_;
  std::vector<std::shared_ptr<Link>> links_;
  std::deque<Late> late_;
};

// As the product's own: blocks whoever calls.
class SimConnection final : public redis::Connection {
 public:
  SimConnection(Scheduler& scheduler, SimRedis& redis, std::string node,
                std::chrono::nanoseconds timeout)
      : Connection(redis::Address()),
        scheduler_(scheduler),
        redis_(redis),
        node_(std::move(node)),
        timeout_(timeout) {}

  absl::StatusOr<std::vector<redis::Reply>> CallAll(
      std::span<const redis::Command> commands) override;
  bool connected() const override { return link_ != nullptr && !link_->is_broken; }
  absl::Status Reconnect() override;

 private:
  Scheduler& scheduler_;
  SimRedis& redis_;
  const std::string node_;
  const std::chrono::nanoseconds timeout_;
  std::shared_ptr<SimRedis::Link> link_;
};

// An actor of its own carries out what is submitted.
class SimPipeline final : public redis::Pipeline {
 public:
  // `purpose`: with the node's, its actor's name. That ends when the scheduler finishes, or when it has been stopped and has
  // nothing to do.
  SimPipeline(Scheduler& scheduler, SimRedis& redis, std::string node, std::string_view purpose);

  void Submit(std::vector<redis::Command> commands, Callback done) override;
  uint64_t connection() const override { return connection_; }
  void SubmitOver(uint64_t connection, std::vector<redis::Command> commands,
                  Callback done) override;
  bool connected() const override { return link_ != nullptr && !link_->is_broken; }
  std::chrono::nanoseconds OldestAge() const override { return std::chrono::nanoseconds(0); }

  Scheduler::Id actor() const { return actor_; }
  void Stop();

 private:
  struct Group {
    uint64_t connection;  // 0: any
    std::vector<redis::Command> commands;
    Callback done;
  };

  void Run();
  Replies CarryOut(const Group& group);

  Scheduler& scheduler_;
  SimRedis& redis_;
  const std::string node_;
  std::deque<Group> queue_;
  std::shared_ptr<SimRedis::Link> link_;
  uint64_t connection_ = 0;
  bool is_stopping_ = false;
  Scheduler::Id actor_;
};

}  // namespace klatch::sim
