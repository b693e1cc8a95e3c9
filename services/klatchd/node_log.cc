// Whether the logs that a node starts on are the ones that an earlier node has read, and go on from what is
// stored; and what it does where they don't.

#include <algorithm>
#include <optional>
#include <utility>

#include "common/obs/log.h"
#include "services/klatchd/node_slice.h"
#include "services/log/redis_time.h"
#include "services/materialize/gap_loader.h"

namespace klatch {
namespace {

// The last position before that one in its shard.
Position Before(Position position) {
  constexpr uint32_t kSequenceMax = (1u << kSequenceBits) - 1;
  return position.sequence() != 0
             ? Position(position.ms(), position.shard(), position.sequence() - 1)
             : Position(position.ms() - 1, position.shard(), kSequenceMax);
}

}  // namespace

absl::Status Node::FollowTrail() {
  for (uint32_t i = 0; i < layout_.shard_count; ++i) {
    const ShardIndex shard(i);
    const std::vector<LogMark> marks(trail_.Of(shard).begin(), trail_.Of(shard).end());
    KLATCH_ASSIGN_OR_RETURN(const std::vector<LogLook> looks, log_reader_.LookAt(marks));
    uint64_t lost = 0;
    for (size_t mark = 0; mark < marks.size(); ++mark) {
      lost += Judge(marks[mark], looks[mark]) == LogFinding::kForked ? 1 : 0;
    }
    if (lost != 0) {
      trail_.NoteFork(shard, lost);
      obs::Log(obs::Level::kError, "node", "records that had been read are not in the log",
               {{"shard", uint64_t{i}}, {"lost", lost}, {"remembered", uint64_t{marks.size()}}});
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<LogGap>> Node::GapBehind(redis::Connection& redis, ShardIndex shard,
                                                      const LogMark& checkpoint,
                                                      const LogLook& look) {
  const bool is_empty = look.last.is_zero();
  LogGap gap{shard, checkpoint.position, checkpoint.position, trail_.IsForked(shard)};
  // The nonce of the record at a checkpoint is not known. The janitor leaves that record in the log.
  if (look.is_there) {
    return gap.is_forked ? std::optional(gap) : std::nullopt;
  }
  if (is_empty || Judge(checkpoint, look) == LogFinding::kTrimmed) {
    gap.is_forked = false;
    gap.to = Before(look.first);
    if (is_empty) {
      KLATCH_ASSIGN_OR_RETURN(const int64_t now, ReadRedisUnixMs(redis));
      gap.to = Before(Position(static_cast<uint64_t>(now - kEpochUnixMs), shard, 0));
    }
    trail_.NoteGap(shard);
    obs::Log(obs::Level::kError, "node",
             "the log does not reach back to the checkpoint; taking the groups' word",
             {{"shard", uint64_t{shard.value()}}});
    return gap;
  }
  // What the log has since may stand below the checkpoint: it is read from before what may be gone.
  const uint64_t end_ms = std::min(checkpoint.position, look.last).ms();
  constexpr auto kKeptMs = static_cast<uint64_t>(LogTrail::kKept.count());
  gap.to = Position(end_ms - std::min(end_ms, kKeptMs), shard, 0);
  if (!std::exchange(gap.is_forked, true)) {
    trail_.NoteFork(shard, 0);
    obs::Log(obs::Level::kError, "node",
             "the record at the checkpoint is not in the log; taking the groups' word",
             {{"shard", uint64_t{shard.value()}}});
  }
  return gap;
}

absl::StatusOr<bool> Node::FollowCheckpoint(redis::Connection& redis,
                                            const Interrupted& interrupted,
                                            std::vector<Position>& replay_after) {
  std::vector<LogMark> marks;
  for (uint32_t i = 0; i < layout_.shard_count; ++i) {
    // Of a shard that nothing is written of yet, what an earlier node has read.
    const Position checkpoint = replay_after[i];
    const LogMark mark = checkpoint.is_zero() ? trail_.Last(ShardIndex(i)) : LogMark{checkpoint, 0};
    if (!mark.position.is_zero()) {
      marks.push_back(mark);
    }
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<LogLook> looks, log_reader_.LookAt(marks));
  std::vector<LogGap> gaps;
  for (size_t i = 0; i < marks.size(); ++i) {
    const ShardIndex shard = marks[i].position.shard();
    KLATCH_ASSIGN_OR_RETURN(std::optional<LogGap> gap, GapBehind(redis, shard, marks[i], looks[i]));
    Position& after = replay_after[shard.value()];
    if (gap) {
      gap->from = after;
      after = after.is_zero() && gap->is_forked ? after : gap->to;
      gaps.push_back(*gap);
    }
  }
  if (gaps.empty()) {
    return false;
  }
  KLATCH_RETURN_IF_ERROR(TakeFromGroups(redis, interrupted, gaps));
  return true;
}

absl::Status Node::TakeFromGroups(redis::Connection& redis, const Interrupted& interrupted,
                                  std::span<const LogGap> gaps) {
  const base::MonotonicTime begin = clock_.Monotonic();
  const auto worker_of = [this](const PersonId& person) -> Worker& {
    return slices_[layout_.PartitionOf(person).value() % slices_.size()]->worker;
  };
  const auto take_group = [&](const LogGap& gap, GroupIndex group,
                              std::vector<GroupMember> members) -> absl::Status {
    if (interrupted()) {
      return base::Error(absl::StatusCode::kCancelled, "interrupted");
    }
    std::vector<std::vector<GroupMember>> by_worker(slices_.size());
    for (GroupMember& member : members) {
      by_worker[worker_of(PersonId(member.person)).index()].push_back(std::move(member));
    }
    for (const auto& slice : slices_) {
      KLATCH_RETURN_IF_ERROR(
          slice->worker.RestoreGroup(gap, group, by_worker[slice->worker.index()]));
    }
    return absl::OkStatus();
  };
  GapLoader loader(layout_, redis, groups_);
  for (const LogGap& gap : gaps) {
    KLATCH_RETURN_IF_ERROR(loader.LoadGroups(gap, take_group));
  }
  KLATCH_RETURN_IF_ERROR(loader.LoadPosts(gaps, [&](const PersonId& author, UpdateId id) {
    return worker_of(author).RestorePost(author.value(), id);
  }));
  KLATCH_ASSIGN_OR_RETURN(const std::vector<Position> ends, log_reader_.LastPositions());
  for (const LogGap& gap : gaps) {
    for (const auto& slice : slices_) {
      if (!ends[gap.shard.value()].is_zero()) {
        slice->worker.NoteRestored(ends[gap.shard.value()]);
      }
    }
  }
  const std::chrono::duration<double> took = clock_.Monotonic() - begin;
  obs::Log(obs::Level::kInfo, "node", "took from the groups what their logs don't tell",
           {{"shards", uint64_t{gaps.size()}}, {"seconds", took.count()}});
  return absl::OkStatus();
}

}  // namespace klatch
