#include "services/persons/lease_keeper.h"

#include <fmt/format.h>
#include <pthread.h>

#include "common/base/failpoint.h"
#include "common/base/hash.h"
#include "common/obs/log.h"

namespace klatch {
namespace {

// No script asks for the time: a lease is a promise between two nodes' own clocks, and Redis's, which
// may jump, has no part in it. Each renewal leaves a new word in `renewal`; nothing, when let go.
//
// Redis looks for free memory at the first write of a script only, and PERSIST needs none: when memory
// is full, nobody can post, but who holds a lease goes on answering.
//
// One that arrives late lets nobody answer or write who may not: a renewal whose nonce is still the
// current one only lengthens this node's own lease, and nobody goes by a lease that it did not see taken.
// A take of an earlier attempt of the same process, behind that of a later one, costs that one its
// lease: it ends, and is started again.

// {1} if the caller holds the lease afterwards; {0, owner, renewal, duration in milliseconds} if
// somebody else does, or if it only looks. ARGV: owner, nonce, renewal, duration, the renewal that has
// been outwaited, and "look" or "take".
const redis::Script& TakeScript() {
  static const redis::Script script("lease_take", R"lua(
local held = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'renewal', 'duration')
local renewal = held[3] or ''
local is_others = held[1] and held[1] ~= ARGV[1] and renewal ~= '' and renewal ~= ARGV[5]
if is_others or ARGV[6] == 'look' then
  return {0, held[1] or '', renewal, tonumber(held[4]) or 0}
end
redis.call('PERSIST', KEYS[1])
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'epoch', (tonumber(held[2]) or 0) + 1, 'nonce', ARGV[2],
           'renewal', ARGV[3], 'duration', ARGV[4])
return {1}
)lua");
  return script;
}

// {1}, or {0} if the lease has another nonce. ARGV: nonce, renewal.
const redis::Script& RenewScript() {
  static const redis::Script script("lease_renew", R"lua(
if redis.call('HGET', KEYS[1], 'nonce') ~= ARGV[1] then
  return {0}
end
redis.call('PERSIST', KEYS[1])
redis.call('HSET', KEYS[1], 'renewal', ARGV[2])
return {1}
)lua");
  return script;
}

constexpr std::chrono::milliseconds kTakePause{100};
constexpr size_t kNonceBytes = 16;
constexpr size_t kRenewalBytes = 8;

}  // namespace

LeaseKeeper::LeaseKeeper(const Layout& layout, std::string node_id,
                         std::chrono::milliseconds duration, const base::Clock& clock,
                         OthersLeases& others)
    : layout_(layout),
      keys_(layout),
      node_id_(std::move(node_id)),
      duration_(duration),
      clock_(clock),
      others_(others),
      partitions_(layout.partition_count) {
  for (Partition& partition : partitions_) {
    partition.nonce = base::RandomBytes(kNonceBytes);
  }
}

LeaseKeeper::~LeaseKeeper() { Stop(); }

int64_t LeaseKeeper::HeldUntil(base::MonotonicTime sent) const {
  // A tenth of the duration is left for clocks that run at different speeds.
  const auto until = sent.time_since_epoch() + duration_ - duration_ / 10;
  return std::chrono::duration_cast<std::chrono::nanoseconds>(until).count();
}

absl::Status LeaseKeeper::TakeAll(redis::Connection& redis, base::MonotonicTime deadline,
                                  const std::function<bool()>& interrupted) {
  std::vector<PartitionIndex> missing;
  for (uint32_t i = 0; i < layout_.partition_count; ++i) {
    missing.emplace_back(i);
  }
  while (true) {
    std::string holder;
    const bool had_first = missing.front() != PartitionIndex(0);
    KLATCH_RETURN_IF_ERROR(TakeOnce(redis, missing, holder));
    if (missing.empty()) {
      return absl::OkStatus();
    }
    if (!had_first && missing.front() != PartitionIndex(0)) {
      continue;  // to the others
    }
    if (clock_.Monotonic() >= deadline) {
      return base::Error(
          absl::StatusCode::kUnavailable,
          fmt::format("{} of {} partitions are held by node {}; stop it, or give this node "
                      "another namespace",
                      missing.size(), layout_.partition_count, holder));
    }
    std::unique_lock lock(mutex_);
    if (wake_.wait_for(lock, kTakePause, [this] { return stopping_; }) || interrupted()) {
      return base::Error(absl::StatusCode::kCancelled, "stopping");
    }
  }
}

absl::Status LeaseKeeper::TakeOnce(redis::Connection& redis, std::vector<PartitionIndex>& missing,
                                   std::string& holder) {
  const base::MonotonicTime asked = clock_.Monotonic();
  const std::string renewal = base::RandomBytes(kRenewalBytes);
  std::vector<redis::Command> commands;
  // Who has the first takes the others. If each of two nodes took what it finds, each would wait for the
  // other's part.
  const bool has_first = missing.front() != PartitionIndex(0);
  for (const PartitionIndex partition : missing) {
    const bool may_take = has_first || partition == PartitionIndex(0);
    commands.push_back(redis::Command::Eval(
        TakeScript(), {keys_.Lease(partition)},
        {node_id_, NonceOf(partition), renewal, std::to_string(duration_.count()),
         std::string(others_.Outwaited(partition, asked)), may_take ? "take" : "look"}));
  }
  const int64_t until = HeldUntil(asked);
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> replies, redis.CallAll(commands));
  // Its holder sent the renewal that was found before now, and counts from there.
  const base::MonotonicTime answered = clock_.Monotonic();
  std::vector<PartitionIndex> still_missing;
  for (size_t i = 0; i < missing.size(); ++i) {
    KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(replies[i].view()), "take lease"));
    if (replies[i][0].integer() == 1) {
      partitions_[missing[i].value()].held_until_ns.store(until, std::memory_order_relaxed);
      continue;
    }
    if (const std::string_view owner = replies[i][1].text(); holder.empty() && owner != node_id_) {
      holder = std::string(owner);
    }
    others_.Note(missing[i], replies[i][2].text(), answered,
                 std::chrono::milliseconds(replies[i][3].integer()));
    still_missing.push_back(missing[i]);
  }
  missing = std::move(still_missing);
  return absl::OkStatus();
}

void LeaseKeeper::Begin(std::unique_ptr<redis::Connection> redis, redis::RunGuard& guard) {
  redis_ = std::move(redis);
  guard_ = &guard;
}

void LeaseKeeper::Start(std::unique_ptr<redis::Connection> redis, redis::RunGuard& guard) {
  Begin(std::move(redis), guard);
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "leases");
    Run();
  });
}

void LeaseKeeper::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void LeaseKeeper::Run() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, duration_ / 3, [this] { return stopping_; })) {
    lock.unlock();
    const absl::Status status = DoWork();
    if (!status.ok()) {
      obs::Log(obs::Level::kError, "leases", "can't renew leases",
               {{"error", base::MessageOf(status)}});
    }
    lock.lock();
  }
}

absl::Status LeaseKeeper::DoWork() {
  if (!redis_->connected()) {
    KLATCH_RETURN_IF_ERROR(redis_->Reconnect());
    KLATCH_RETURN_IF_ERROR(guard_->Check(*redis_));
  }
  return Renew(*redis_);
}

absl::Status LeaseKeeper::Renew(redis::Connection& redis) {
  const std::string renewal = base::RandomBytes(kRenewalBytes);
  std::vector<redis::Command> commands;
  for (uint32_t i = 0; i < layout_.partition_count; ++i) {
    const PartitionIndex partition(i);
    commands.push_back(redis::Command::Eval(RenewScript(), {keys_.Lease(partition)},
                                            {NonceOf(partition), renewal}));
  }
  const int64_t until = HeldUntil(clock_.Monotonic());
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> replies, redis.CallAll(commands));
  for (uint32_t i = 0; i < layout_.partition_count; ++i) {
    KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(replies[i].view()), "renew lease"));
    if (replies[i][0].integer() == 1) {
      partitions_[i].held_until_ns.store(until, std::memory_order_relaxed);
    } else {
      NoteLost(PartitionIndex(i));
    }
  }
  KLATCH_FAILPOINT("leases-renewed");
  return absl::OkStatus();
}

absl::Status LeaseKeeper::Release(redis::Connection& redis) {
  std::vector<redis::Command> commands;
  for (uint32_t i = 0; i < layout_.partition_count; ++i) {
    partitions_[i].held_until_ns.store(0, std::memory_order_relaxed);
    commands.push_back(redis::Command::Eval(RenewScript(), {keys_.Lease(PartitionIndex(i))},
                                            {partitions_[i].nonce, ""}));
  }
  return redis.CallAll(commands).status();
}

bool LeaseKeeper::Holds(PartitionIndex partition, base::MonotonicTime now) const {
  const int64_t now_ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(now.time_since_epoch()).count();
  return now_ns < partitions_[partition.value()].held_until_ns.load(std::memory_order_relaxed);
}

std::chrono::nanoseconds LeaseKeeper::HeldFor(PartitionIndex partition,
                                              base::MonotonicTime now) const {
  const base::MonotonicTime until(std::chrono::nanoseconds(
      partitions_[partition.value()].held_until_ns.load(std::memory_order_relaxed)));
  return std::max<std::chrono::nanoseconds>(until - now, std::chrono::nanoseconds(0));
}

void LeaseKeeper::NoteLost(PartitionIndex partition) {
  partitions_[partition.value()].held_until_ns.store(0, std::memory_order_relaxed);
  lost_.store(partition.value(), std::memory_order_relaxed);
}

std::optional<PartitionIndex> LeaseKeeper::lost() const {
  const int64_t lost = lost_.load(std::memory_order_relaxed);
  if (lost < 0) {
    return std::nullopt;
  }
  return PartitionIndex(static_cast<uint32_t>(lost));
}

}  // namespace klatch
