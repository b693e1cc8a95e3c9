#pragma once
// What the calls about read markers ask of the read side: what is on a timeline above a marker.
//
// Thread safety: any thread. Implemented by services/read, under the same rule as every page.

#include <cstddef>
#include <cstdint>
#include <optional>

#include "common/base/status.h"
#include "common/base/task.h"
#include "services/model/ids.h"
#include "services/model/position.h"

namespace klatch {

struct Unread {
  uint32_t count = 0;
  // More may be unread than was examined, or is kept.
  bool is_at_least = false;
};

class TimelineReader {
 public:
  virtual ~TimelineReader() = default;

  // Both of the viewer's home if `group` is empty. NOT_FOUND ("group"), PERMISSION_DENIED ("actor")
  // as a page of the group; UNAVAILABLE with reason NOT_OWNER.

  // Updates above `above` that the viewer would see, without own ones; of the newest
  // `examined_max` ids.
  virtual base::Task<absl::StatusOr<Unread>> CountUnread(PersonId viewer, GroupId group,
                                                         UpdateId above, size_t examined_max) = 0;
  // Where a marker at `update` stands; without one at the newest id on the timeline, whether or not
  // the viewer would see it, 0 if there is none. INVALID_ARGUMENT ("update_id") for one that is
  // later than what this node has applied: a marker can't go back, so it would swallow what is
  // still to be posted.
  virtual base::Task<absl::StatusOr<UpdateId>> PlaceMarker(PersonId viewer, GroupId group,
                                                           std::optional<UpdateId> update) = 0;
};

}  // namespace klatch
