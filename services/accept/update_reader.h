#pragma once
// What the write side asks of the read side: is this update something that this person can see?
//
// Thread safety: any thread. Implemented by services/read, under the same rule as every page.

#include <memory>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/base/task.h"
#include "services/model/body.h"
#include "services/model/ids.h"
#include "services/model/position.h"

namespace klatch {

class UpdateReader {
 public:
  virtual ~UpdateReader() = default;

  // NOT_FOUND if it doesn't exist or the viewer may not see it; the two can't be told apart.
  virtual base::Task<absl::StatusOr<std::shared_ptr<const Body>>> FindVisible(
      PersonId viewer, UpdateId update, base::MonotonicTime deadline) = 0;
};

}  // namespace klatch
