#pragma once
// What an operator's scrub has found wrong of a person, for the worker that owns the person to put
// right: the only one that may write what memory holds of them.
//
// Lifetime: values, passed to the worker whole.
// Bound: whoever orders bounds the persons and stays of one order (limits::kScrub…).

#include <cstdint>
#include <vector>

#include "services/model/ids.h"
#include "services/model/membership.h"
#include "services/model/position.h"

namespace klatch {

// A person's stay in a group as the group has it, which is what counts.
struct MendedStay {
  GroupIndex group;
  ShardIndex shard;
  Stay stay;  // kNone: no member
  // An end of the shard's log from before `stay` was read: the group has decided everything up to
  // there, and perhaps more. A membership that the worker has seen change since is left alone.
  Position seen;
};

struct Mend {
  uint32_t person = 0;  // the index within the worker
  std::vector<MendedStay> stays;
  // The home timeline is made anew from the feeds.
  bool rebuild = false;
};

}  // namespace klatch
