#pragma once
// Which ids of a group's feed belong on the home timeline of a member, as far as the id tells: for
// rebuilds, and for whoever compares what is stored with what is due.
//
// Thread safety: a function without state.

#include <cstdint>
#include <vector>

#include "services/model/membership.h"
#include "services/model/past.h"
#include "services/model/position.h"

namespace klatch {

enum class Due { kYes, kNo, kPerhaps };

// Of a post to several groups the group's log has another, later position: of an id of another shard
// only the times compare, and one of the same shard may be either. `written` is how far each shard
// is applied and written.
inline Due IsDue(UpdateId update, const Stay& stay, const std::vector<Position>& written) {
  const bool may_be_seen = update.ms() + kCarriedLaterMsMax >= stay.visible_from.ms();
  if (update.shard() != stay.joined.shard()) {
    return update.ms() > stay.joined.ms() ? Due::kYes : may_be_seen ? Due::kPerhaps : Due::kNo;
  }
  if (update < stay.joined) {
    // However far is applied: a restored membership may be ahead of that, and the replay brings a member
    // nothing from before it.
    return may_be_seen ? Due::kPerhaps : Due::kNo;
  }
  // Behind what is applied a leave may stand that the memberships don't know of; those ids come by
  // delivery.
  return update > written[update.shard().value()] ? Due::kNo : Due::kYes;
}

}  // namespace klatch
