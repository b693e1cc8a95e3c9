#pragma once
// Where a shard's log does not go on from what is stored: a stretch of it was trimmed before it was read, or it is not
// the log any more that was read (a fork). And what a node that finds that takes from the groups instead.
//
// Thread safety: values.

#include <string>

#include "services/model/ids.h"
#include "services/model/membership.h"
#include "services/model/position.h"

namespace klatch {

struct LogGap {
  ShardIndex shard;
  Position from;  // all up to here was applied and written
  Position to;    // what stands behind this comes by the log; of a fork not later than `from`
  // Memberships may be those of records that are gone. Else something was trimmed.
  bool is_forked = false;
};

struct GroupMember {
  std::string person;
  Stay stay;  // never kNone
};

}  // namespace klatch
