#pragma once
// How far a shard's log goes, for calls that wait until all that stands in it now is applied.
//
// Thread safety: any thread; tasks continue on the pipeline's thread.
// Lifetime: `pipeline` and this outlive every task.
// Errors: those of the pipeline and of Redis; DATA_LOSS if the newest entry is at no position.

#include <string>

#include "common/base/status.h"
#include "common/base/task.h"
#include "common/redis/pipeline.h"
#include "common/redis/reply.h"
#include "services/model/keys.h"
#include "services/model/layout.h"
#include "services/model/position.h"

namespace klatch {

class LogEnd {
 public:
  LogEnd(redis::Pipeline& pipeline, const Layout& layout) : pipeline_(pipeline), keys_(layout) {}

  // The last position; zero if the log is empty. Writes nothing.
  base::Task<absl::StatusOr<Position>> Read(ShardIndex shard);

  // The question to Redis for the last position of `stream`, and what the answer says.
  static redis::Command Question(std::string stream);
  static absl::StatusOr<Position> Decode(redis::ReplyView reply, ShardIndex shard,
                                         std::string_view stream);

 private:
  redis::Pipeline& pipeline_;
  const Keys keys_;
};

}  // namespace klatch
