#pragma once
// Which fields of an update an edit changes, and the update that comes of it.
//
// Thread safety: functions and values without state.

#include <string>

#include "common/base/status.h"
#include "klatch/v1/feed_service.pb.h"
#include "klatch/v1/resources.pb.h"
#include "services/model/body.h"
#include "services/model/position.h"

namespace klatch {

struct EditMask {
  bool text = false;
  bool attachments = false;
  bool place = false;
  bool audience = false;
};

// Reads the mask, or what is set if there is none, and checks the new values that it names.
// INVALID_ARGUMENT ("update_mask" for an unknown path or if nothing is to change, "update.…").
absl::StatusOr<EditMask> ReadEditMask(const v1::EditUpdateRequest& request);

// The body to store in the place of `current`, a revision later. INVALID_ARGUMENT ("update.text")
// if neither text nor an attachment would be left; DATA_LOSS if the stored bytes are no update.
absl::StatusOr<std::string> EditedBody(UpdateId id, const Body& current, const EditMask& mask,
                                       const v1::Update& values);

}  // namespace klatch
