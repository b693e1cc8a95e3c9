#pragma once
// The stored facts of a running node: what the log's readers find in Redis.
//
// Thread safety: any thread. Lifetime: refers to the readers.

#include <memory>

#include "services/accept/stored_facts.h"
#include "services/log/bodies.h"
#include "services/log/log_end.h"

namespace klatch {

class RedisFacts final : public StoredFacts {
 public:
  RedisFacts(Bodies& bodies, LogEnd& log_end) : bodies_(bodies), log_end_(log_end) {}

  base::Task<absl::StatusOr<std::shared_ptr<const Body>>> ReadBody(UpdateId update) override {
    return bodies_.ReadBody(update);
  }
  base::Task<absl::StatusOr<Position>> ReadLogEnd(ShardIndex shard) override {
    return log_end_.Read(shard);
  }

 private:
  Bodies& bodies_;
  LogEnd& log_end_;
};

}  // namespace klatch
