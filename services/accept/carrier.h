#pragma once
// Carries a post that its author's home shard has taken to its groups, and settles it: what the call
// that posts does, and the sweeper for calls that have ended before.
//
// Thread safety: any thread; tasks continue on the log's thread. Lifetime: `appender` and the carrier
// outlive every task. Bound: limits::kGroupsPerUpdateMax appends side by side.

#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/base/task.h"
#include "services/log/appender.h"
#include "services/model/body.h"
#include "services/model/position.h"

namespace klatch {

class Carrier {
 public:
  explicit Carrier(Appender& appender) : appender_(appender) {}

  // Which targets the groups are asked about.
  enum class Ask { kUndecided, kAlsoCarried };

  // Asks the groups, and settles: `header` is the update's. Yields what was decided of each target,
  // in their order. UNAVAILABLE with reason OUTCOME_UNKNOWN if a group could not be asked; what
  // others have decided stands, and a repetition goes on from there. `ack`: of each group's record.
  base::Task<absl::StatusOr<std::vector<Carry>>> Finish(UpdateId update, BodyHeader header,
                                                        SettleCommand settling, Ask ask,
                                                        AckClass ack);

 private:
  base::Task<void> CarryTo(CarryCommand command, absl::StatusOr<Carry>& result);

  Appender& appender_;
};

}  // namespace klatch
