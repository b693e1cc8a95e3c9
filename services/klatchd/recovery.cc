#include "services/klatchd/recovery.h"

#include <algorithm>
#include <utility>

#include "common/obs/log.h"
#include "services/log/redis_time.h"
#include "services/materialize/gap_loader.h"

namespace klatch {
namespace {

constexpr uint64_t kRestoredPerLook = 1'000;

// The last position before that one in its shard.
Position Before(Position position) {
  constexpr uint32_t kSequenceMax = (1u << kSequenceBits) - 1;
  return position.sequence() != 0
             ? Position(position.ms(), position.shard(), position.sequence() - 1)
             : Position(position.ms() - 1, position.shard(), kSequenceMax);
}

}  // namespace

absl::Status Recovery::FollowTrail() {
  for (uint32_t i = 0; i < d_.layout.shard_count; ++i) {
    const ShardIndex shard(i);
    const std::vector<LogMark> marks(d_.trail.Of(shard).begin(), d_.trail.Of(shard).end());
    KLATCH_ASSIGN_OR_RETURN(const std::vector<LogLook> looks, d_.log.LookAt(marks));
    uint64_t lost = 0;
    for (size_t mark = 0; mark < marks.size(); ++mark) {
      lost += Judge(marks[mark], looks[mark]) == LogFinding::kForked ? 1 : 0;
    }
    if (lost != 0) {
      d_.trail.NoteFork(shard, lost);
      obs::Log(obs::Level::kError, "recovery", "records that had been read are not in the log",
               {{"shard", uint64_t{i}}, {"lost", lost}, {"remembered", uint64_t{marks.size()}}});
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<LoadSummary> Recovery::Load() {
  uint64_t restored = 0;
  Loader loader(
      d_.layout, d_.redis, d_.groups,
      [&](PartitionIndex partition, UpdateId floor, RestoredPerson person) -> absl::Status {
        if (++restored % kRestoredPerLook == 0) {
          KLATCH_RETURN_IF_ERROR(CheckInterrupted());
        }
        Worker& worker = WorkerOf(partition);
        KLATCH_RETURN_IF_ERROR(
            worker.Restore(person.id, std::move(person.memberships), floor, person.hole_since));
        if (person.quiet_since != 0) {
          worker.RestoreQuiet(person.id, person.quiet_since);
        }
        return absl::OkStatus();
      });
  KLATCH_ASSIGN_OR_RETURN(LoadSummary summary, loader.LoadAll());
  KLATCH_RETURN_IF_ERROR(loader.LoadDeliveries([this](GroupIndex group, bool is_pulled) {
    for (Worker* worker : d_.workers) {
      worker->RestoreDelivery(group, is_pulled);
    }
  }));
  return summary;
}

absl::Status Recovery::CheckInterrupted() const {
  return d_.interrupted() ? base::Error(absl::StatusCode::kCancelled, "interrupted")
                          : absl::OkStatus();
}

absl::StatusOr<std::optional<LogGap>> Recovery::GapBehind(const LogMark& checkpoint,
                                                          const LogLook& look) {
  const ShardIndex shard = checkpoint.position.shard();
  const bool is_empty = look.last.is_zero();
  LogGap gap{shard, checkpoint.position, checkpoint.position, d_.trail.IsForked(shard)};
  // The nonce of the record at a checkpoint is not known. The janitor leaves that record in the log.
  if (look.is_there) {
    return gap.is_forked ? std::optional(gap) : std::nullopt;
  }
  if (is_empty || Judge(checkpoint, look) == LogFinding::kTrimmed) {
    gap.is_forked = false;
    gap.to = Before(look.first);
    if (is_empty) {
      KLATCH_ASSIGN_OR_RETURN(const int64_t now, ReadRedisUnixMs(d_.redis));
      gap.to = Before(Position(static_cast<uint64_t>(now - kEpochUnixMs), shard, 0));
    }
    d_.trail.NoteGap(shard);
    obs::Log(obs::Level::kError, "recovery",
             "the log does not reach back to the checkpoint; taking the groups' word",
             {{"shard", uint64_t{shard.value()}}});
    return gap;
  }
  // What the log has since may stand below the checkpoint: it is read from before what may be gone.
  const uint64_t end_ms = std::min(checkpoint.position, look.last).ms();
  constexpr auto kKeptMs = static_cast<uint64_t>(LogTrail::kKept.count());
  gap.to = Position(end_ms - std::min(end_ms, kKeptMs), shard, 0);
  if (!std::exchange(gap.is_forked, true)) {
    d_.trail.NoteFork(shard, 0);
    obs::Log(obs::Level::kError, "recovery",
             "the record at the checkpoint is not in the log; taking the groups' word",
             {{"shard", uint64_t{shard.value()}}});
  }
  return gap;
}

absl::StatusOr<bool> Recovery::FollowCheckpoint(std::vector<Position>& replay_after) {
  std::vector<LogMark> marks;
  anchors_.assign(d_.layout.shard_count, LogMark());
  for (uint32_t i = 0; i < d_.layout.shard_count; ++i) {
    // Of a shard that nothing is written of yet, what an earlier node has read.
    const Position checkpoint = replay_after[i];
    const LogMark mark =
        checkpoint.is_zero() ? d_.trail.Last(ShardIndex(i)) : LogMark{checkpoint, 0};
    if (!mark.position.is_zero()) {
      marks.push_back(mark);
    }
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<LogLook> looks, d_.log.LookAt(marks));
  std::vector<LogGap> gaps;
  for (size_t i = 0; i < marks.size(); ++i) {
    const ShardIndex shard = marks[i].position.shard();
    KLATCH_ASSIGN_OR_RETURN(std::optional<LogGap> gap, GapBehind(marks[i], looks[i]));
    if (looks[i].is_there) {
      anchors_[shard.value()] = {marks[i].position, looks[i].nonce};
    } else if (gap && !gap->is_forked) {
      anchors_[shard.value()] = {looks[i].first, 0};
    }
    Position& after = replay_after[shard.value()];
    if (gap) {
      gap->from = after;
      after = after.is_zero() && gap->is_forked ? after : gap->to;
      gaps.push_back(*gap);
    }
  }
  KLATCH_RETURN_IF_ERROR(NoteGapsBehindTrail());
  if (gaps.empty()) {
    return false;
  }
  KLATCH_RETURN_IF_ERROR(TakeFromGroups(gaps));
  return true;
}

absl::Status Recovery::NoteGapsBehindTrail() {
  std::vector<LogMark> marks;
  for (uint32_t i = 0; i < d_.layout.shard_count; ++i) {
    if (const LogMark last = d_.trail.Last(ShardIndex(i)); !last.position.is_zero()) {
      marks.push_back(last);
    }
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<LogLook> looks, d_.log.LookAt(marks));
  for (size_t i = 0; i < marks.size(); ++i) {
    if (Judge(marks[i], looks[i]) == LogFinding::kTrimmed) {
      const ShardIndex shard = marks[i].position.shard();
      d_.trail.NoteGap(shard);
      obs::Log(obs::Level::kError, "recovery",
               "the log does not reach back to what had been read; what is stored goes on from it",
               {{"shard", uint64_t{shard.value()}}});
    }
  }
  return absl::OkStatus();
}

absl::Status Recovery::TakeFromGroups(std::span<const LogGap> gaps) {
  const base::MonotonicTime begin = d_.clock.Monotonic();
  const auto worker_of = [this](const PersonId& person) -> Worker& {
    return WorkerOf(d_.layout.PartitionOf(person));
  };
  const auto take_group = [&](const LogGap& gap, GroupIndex group,
                              std::vector<GroupMember> members) -> absl::Status {
    KLATCH_RETURN_IF_ERROR(CheckInterrupted());
    std::vector<std::vector<GroupMember>> by_worker(d_.workers.size());
    for (GroupMember& member : members) {
      by_worker[worker_of(PersonId(member.person)).index()].push_back(std::move(member));
    }
    for (Worker* worker : d_.workers) {
      KLATCH_RETURN_IF_ERROR(worker->RestoreGroup(gap, group, by_worker[worker->index()]));
    }
    return absl::OkStatus();
  };
  GapLoader loader(d_.layout, d_.redis, d_.groups);
  for (const LogGap& gap : gaps) {
    KLATCH_RETURN_IF_ERROR(loader.LoadGroups(gap, take_group));
  }
  KLATCH_RETURN_IF_ERROR(loader.LoadPosts(gaps, [&](const PersonId& author, UpdateId id) {
    return worker_of(author).RestorePost(author.value(), id);
  }));
  KLATCH_ASSIGN_OR_RETURN(const std::vector<Position> ends, d_.log.LastPositions());
  for (const LogGap& gap : gaps) {
    for (Worker* worker : d_.workers) {
      if (!ends[gap.shard.value()].is_zero()) {
        worker->NoteRestored(ends[gap.shard.value()]);
      }
    }
  }
  const std::chrono::duration<double> took = d_.clock.Monotonic() - begin;
  obs::Log(obs::Level::kInfo, "recovery", "took from the groups what their logs don't tell",
           {{"shards", uint64_t{gaps.size()}}, {"seconds", took.count()}});
  return absl::OkStatus();
}

}  // namespace klatch
