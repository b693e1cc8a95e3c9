#pragma once
// A whole world under one seed: a Redis with a replica, two processes that want to be the node, clients that
// post, join, leave and delete, and what befalls them. At the end everything heals, settles, and is held against
// the rules (DESIGN section 5).
//
// The seed decides which promises the world makes (what Redis keeps, which copies answers wait for), how much of
// their past its groups open, what happens, and in which order. What must hold follows from the promises.
//
// Thread safety: Run once, by one thread.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/task.h"
#include "klatch/v1/feed_service.pb.h"
#include "services/model/ack.h"
#include "services/model/carry.h"
#include "services/model/layout.h"
#include "services/model/membership.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/sim_redis.h"

namespace klatch::sim {

// How much faster than the time the clocks of the machines run, in millionths.
struct Rates {
  int64_t redis = 0;
  int64_t nodes[2] = {0, 0};
  std::string ToString() const;
};

// What becomes of the older end of the logs.
enum class Trims {
  kNever,
  kJanitor,  // nodes trim what all have passed
  kCuts,     // somebody cuts them off, too, whoever has read them
};

struct Promises {
  SimRedis::Disk disk = SimRedis::Disk::kAlways;
  AckClass ack = AckClass::kLocal;
  bool fails_over = false;
  bool restarts = false;

  // Whether what was acknowledged may be gone.
  bool may_lose() const;
  // The same of removals, which wait for all the copies that there are.
  bool may_lose_removals() const { return restarts && disk != SimRedis::Disk::kAlways; }
  std::string ToString() const;
};

struct Verdict {
  std::vector<std::string> violations;  // at most kViolationsMax
  Promises promises;
  Rates rates;
  uint64_t trace = 0;  // the same for the same seed
  uint64_t turns = 0;
  uint64_t acknowledged = 0;
  uint64_t lost = 0;   // of those, where that may be
  uint64_t pages = 0;  // that were read and held against what was due
  uint64_t faults = 0;
  uint64_t loads = 0;  // of cores

  static constexpr size_t kViolationsMax = 20;
};

class World {
 public:
  explicit World(uint64_t seed);
  ~World();

  Verdict Run();

 private:
  static constexpr size_t kGroups = 4;
  static constexpr char kOwner[] = "owner";           // of all groups, and who posts
  static constexpr std::chrono::seconds kCallMax{6};  // what a client waits for one call

  static std::string GroupName(uint64_t number);

  // klatchd: one core after the other, until it is killed or has lost its lease.
  struct Process {
    std::string name;
    const MachineClock* clock;
    std::shared_ptr<NodeMemory> memory;
    std::shared_ptr<Core> core;     // the last
    std::shared_ptr<Core> serving;  // null while it serves nobody
    Scheduler::Id actor = 0;
    bool is_dead = false;
    bool is_frozen = false;
  };
  struct Post {
    std::string group;
    std::vector<GroupId> groups;  // instead, if posted to several
    std::set<uint64_t> ids;       // that it was answered
    bool is_deleted = false;      // or asked to be
    bool was_answered_deleted = false;
  };
  // What a group lets those see who join it.
  struct Terms {
    History history = History::kNone;
    uint32_t history_count = 0;
    AudienceRule audience = AudienceRule::kMembersAtPosting;
  };
  // What became of somebody in a group by the last change that was answered.
  struct Change {
    bool joined;
    uint64_t position;
  };
  struct Log;  // what the logs say, read at the end

  void StartProcess(size_t which);
  std::shared_ptr<NodeMemory> NewMemory() const;
  void RunProcess(Process& process);
  void Kill(Process& process);
  // Kills it, unless that was done, and starts another of its name.
  void Replace(Process& process);
  void SetFrozen(Process& process, bool is_frozen);
  // Who serves now; null if nobody does.
  std::shared_ptr<Core> Serving() const;
  // The same, waiting; null when the world ends.
  std::shared_ptr<Core> AwaitServing();
  // Looks again and again whether two processes hold the same.
  void WatchHolders();
  // What the task yields; nothing if that took too long, be it that its node is gone.
  template <typename T>
  std::optional<T> Await(base::Task<T> task);

  void MakeGroups();
  void RunClient(size_t client);
  PersonId PersonOf(size_t client);
  void PostOnce(size_t client);
  void PostToSeveral(size_t client);
  // False if it is to be tried again.
  bool TryPostToSeveral(const std::string& key, Post& post);
  // Whether posts to several groups wait to be decided.
  bool HasPending() const;
  void JoinOrLeave(size_t client);
  void CheckInForce(const std::shared_ptr<Core>& core, const PersonId& person, const GroupId& group,
                    Position position);
  void CheckDelivered(const std::shared_ptr<Core>& core, size_t client, const GroupId& group,
                      const std::set<uint64_t>& ids);
  // A page as somebody's app reads it, of a person whom this client alone adds and removes.
  void ReadHome(const PersonId& person);
  struct Expected;
  Expected ExpectedOf(const PersonId& person) const;
  void CheckPage(const PersonId& person, const Expected& expected,
                 const klatch::v1::ListHomeTimelineResponse& page);
  void DeleteOne();
  void RunChaos();
  void Befall();
  void CutLogs();
  void CutLogsOfStopped();
  // What a partition's checkpoint says of a shard; zero if there is none.
  Position PassedBy(const Data& data, PartitionIndex partition, ShardIndex shard) const;
  void CheckTrim(const Data& data, const std::string& log, StreamId last);

  void Settle();
  void Check();
  Log ReadLogs();
  // Adds what of the group's past is open from there on.
  void AddPast(Log& log, const std::string& group, Position from, const std::string& person);
  void CheckPosts(const Log& log);
  void CheckSeveral(const Log& log);
  void CheckChanges(const Log& log);
  void CheckMembers(const Log& log);
  void CheckTimelines(Log& log);
  // Whether a refusal may be the last word: only where the group itself may have been lost.
  bool IsLastWord(const absl::Status& status, std::string_view of);
  void Violate(std::string what);

  Promises ChoosePromises();
  Rates ChooseRates();
  Trims ChooseTrims();
  bool ChooseOneIn(uint64_t times) { return scheduler_.random().OneIn(times); }
  std::map<std::string, Terms> ChooseTerms();

  Scheduler scheduler_;
  const Promises promises_;
  const Rates rates_;
  const bool posts_to_several_;
  const Trims trims_;
  const MachineClock redis_clock_;
  const MachineClock node_clocks_[2];
  const std::map<std::string, Terms> terms_;  // by group
  const Layout layout_;
  const Keys keys_;
  SimRedis redis_;
  std::vector<std::unique_ptr<Process>> processes_;  // every one there ever was
  std::vector<std::shared_ptr<Core>> cores_;         // the same; taken apart at the end
  size_t clients_busy_ = 0;
  bool has_lost_groups_ = false;  // with what Redis has lost
  bool has_cut_logs_ = false;
  bool is_over_ = false;  // nothing new begins
  bool is_calm_ = false;  // nothing befalls anybody
  uint64_t next_key_ = 0;
  std::map<std::string, Post> posts_;  // by request id, which is the text, too
  std::map<std::pair<std::string, std::string>, Change> changes_;  // by person and group
  Verdict verdict_;
};

template <typename T>
std::optional<T> World::Await(base::Task<T> task) {
  // Outlives the wait: the answer of a frozen node may come later.
  auto answer = std::make_shared<std::optional<T>>();
  base::Spawn([](base::Task<T> inner, std::shared_ptr<std::optional<T>> out, Scheduler& scheduler,
                 Scheduler::Id waits) -> base::Task<void> {
    T value = co_await std::move(inner);
    out->emplace(std::move(value));
    scheduler.Wake(waits);
  }(std::move(task), answer, scheduler_, scheduler_.current()));
  scheduler_.WaitUntil([&] { return answer->has_value(); }, kCallMax,
                       std::chrono::milliseconds(100));
  return std::move(*answer);
}

}  // namespace klatch::sim
