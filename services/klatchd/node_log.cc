// Whether the logs that a node starts on are the ones that an earlier node has read, and reach back far
// enough for what is stored.

#include "common/obs/log.h"
#include "services/klatchd/node.h"

namespace klatch {

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
    } else if (!marks.empty() && Judge(marks.back(), looks.back()) == LogFinding::kTrimmed) {
      trail_.NoteGap(shard);
      obs::Log(obs::Level::kError, "node", "the log was trimmed beyond what had been read",
               {{"shard", uint64_t{i}}});
    }
  }
  return absl::OkStatus();
}

absl::Status Node::FollowCheckpoint(const std::vector<Position>& checkpoint) {
  std::vector<LogMark> marks;
  for (const Position position : checkpoint) {
    if (!position.is_zero()) {
      marks.push_back({position, 0});
    }
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<LogLook> looks, log_reader_.LookAt(marks));
  for (size_t i = 0; i < marks.size(); ++i) {
    // The nonce of that record is not known. The janitor leaves the record at a checkpoint in the log.
    if (!looks[i].is_there) {
      const ShardIndex shard = marks[i].position.shard();
      trail_.NoteGap(shard);
      obs::Log(obs::Level::kError, "node",
               "the log does not reach back to the checkpoint; scrub and rebuild",
               {{"shard", uint64_t{shard.value()}}});
    }
  }
  return absl::OkStatus();
}

}  // namespace klatch
