#pragma once
// Shards' logs as operators look at them: what is kept, and its records page by page.
//
// Thread safety: any thread; tasks continue on the pipeline's thread.
// Lifetime: `pipeline` and this outlive every task.
// Bounds: limits::kLogPageMax records a page.
// Errors: those of the pipeline and of Redis; DATA_LOSS, naming the entry, for what can't be decoded.

#include <cstdint>
#include <vector>

#include "common/base/status.h"
#include "common/base/task.h"
#include "common/redis/pipeline.h"
#include "services/log/log_reader.h"
#include "services/model/keys.h"
#include "services/model/layout.h"
#include "services/model/position.h"

namespace klatch {

struct LogFacts {
  Position oldest;       // zero: it is empty
  Position end;          // of the newest record that there ever was; zero: there was none
  uint64_t records = 0;  // that are kept
  uint64_t removed = 0;  // that were removed since its beginning
  uint64_t bytes = 0;    // in Redis, estimated
};

struct LogPage {
  std::vector<LogEntry> entries;
  LogFacts facts;  // bytes are not asked for
  // Records between `after` and the oldest that is kept may have been removed.
  bool trimmed = false;
};

class LogPages {
 public:
  LogPages(redis::Pipeline& pipeline, const Layout& layout);

  // Of every shard, in their order.
  base::Task<absl::StatusOr<std::vector<LogFacts>>> ReadFacts();

  // Up to `count` records behind `after`.
  base::Task<absl::StatusOr<LogPage>> Read(ShardIndex shard, Position after, size_t count);

 private:
  redis::Pipeline& pipeline_;
  const Layout layout_;
  const Keys keys_;
};

// What XINFO STREAM answers; a stream that does not exist is empty.
absl::StatusOr<LogFacts> DecodeLogFacts(redis::ReplyView reply, ShardIndex shard,
                                        std::string_view stream);

}  // namespace klatch
