#pragma once
// What the write side reads of Redis before it writes: an update's body and how far a log goes, as
// they are there now, not as this node has applied them. The scripts check again; this is for what
// they are given.
//
// Thread safety: any thread.

#include <memory>

#include "common/base/status.h"
#include "common/base/task.h"
#include "services/model/body.h"
#include "services/model/ids.h"
#include "services/model/position.h"

namespace klatch {

class StoredFacts {
 public:
  virtual ~StoredFacts() = default;

  // Null if there is none: never posted, deleted or expired. FAILED_PRECONDITION or DATA_LOSS,
  // naming the key, if something else stands in its place.
  virtual base::Task<absl::StatusOr<std::shared_ptr<const Body>>> ReadBody(UpdateId update) = 0;

  // The last position of the shard's log, not before anything that was answered before the call.
  virtual base::Task<absl::StatusOr<Position>> ReadLogEnd(ShardIndex shard) = 0;
};

}  // namespace klatch
