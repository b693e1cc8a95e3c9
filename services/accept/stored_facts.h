#pragma once
// What the write side reads of Redis before it writes: an update's body and a person's stay, as
// they are there now, not as this node has applied them. The scripts check again; this is for what
// they are given.
//
// Thread safety: any thread.

#include <memory>

#include "common/base/status.h"
#include "common/base/task.h"
#include "services/model/body.h"
#include "services/model/ids.h"
#include "services/model/membership.h"
#include "services/model/position.h"

namespace klatch {

class StoredFacts {
 public:
  virtual ~StoredFacts() = default;

  // Null if there is none: never posted, deleted or expired.
  virtual base::Task<absl::StatusOr<std::shared_ptr<const Body>>> ReadBody(UpdateId update) = 0;

  // Role kNone if the person is not in the group, or the group doesn't exist.
  virtual base::Task<absl::StatusOr<Stay>> ReadStay(GroupId group, PersonId person) = 0;
};

}  // namespace klatch
