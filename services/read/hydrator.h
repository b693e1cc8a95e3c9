#pragma once
// Bodies for ids: from memory, and what is missing there in one batch from Redis.
//
// Thread safety: any thread.
// Lifetime: what it refers to outlives it; it outlives its tasks.

#include <memory>
#include <vector>

#include "common/base/executor.h"
#include "common/base/status.h"
#include "common/base/task.h"
#include "services/log/bodies.h"
#include "services/log/body_store.h"

namespace klatch {

class Hydrator {
 public:
  using Found = std::vector<std::shared_ptr<const Body>>;

  Hydrator(BodyStore& store, Bodies& stored, base::Executor& executor)
      : store_(store), stored_(stored), executor_(executor) {}

  // One body per id, in their order; null where there is none: deleted or expired. Continues on the
  // executor if it had to ask Redis. The error of Redis if it can't be asked. `kept_no_longer`,
  // unless null, outlives the task and gets those ids without a body that were not deleted.
  base::Task<absl::StatusOr<Found>> Find(std::vector<UpdateId> ids,
                                         std::vector<UpdateId>* kept_no_longer = nullptr);

  // The same for one. A page passes over what can't be read; who asks for this one is told what
  // stands in its place: FAILED_PRECONDITION or DATA_LOSS, naming the key.
  base::Task<absl::StatusOr<std::shared_ptr<const Body>>> FindOne(UpdateId id);

 private:
  void Keep(UpdateId id, const std::shared_ptr<const Body>& body, uint64_t generation);

  BodyStore& store_;
  Bodies& stored_;
  base::Executor& executor_;
};

}  // namespace klatch
