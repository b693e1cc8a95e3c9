#include "services/accept/edit_mask.h"

#include <fmt/format.h>

#include "common/base/invalid_field.h"
#include "services/accept/update_message.h"
#include "services/accept/validate.h"

namespace klatch {
namespace {

EditMask WhatIsSet(const v1::Update& values) {
  return EditMask{.text = !values.text().empty(),
                  .attachments = !values.attachments().empty(),
                  .place = values.has_place(),
                  .audience = values.audience() != v1::AUDIENCE_UNSPECIFIED};
}

absl::StatusOr<EditMask> ReadPaths(const google::protobuf::FieldMask& paths) {
  EditMask mask;
  for (const std::string& path : paths.paths()) {
    if (path == "text") {
      mask.text = true;
    } else if (path == "attachments") {
      mask.attachments = true;
    } else if (path == "place") {
      mask.place = true;
    } else if (path == "audience") {
      mask.audience = true;
    } else {
      return base::InvalidField("update_mask",
                                "names more than text, attachments, place and audience");
    }
  }
  return mask;
}

absl::Status CheckValues(const EditMask& mask, const v1::Update& values) {
  if (mask.text) {
    KLATCH_RETURN_IF_ERROR(CheckText(values.text(), "update.text"));
  }
  if (mask.attachments) {
    KLATCH_RETURN_IF_ERROR(CheckAttachments(values.attachments(), "update.attachments"));
  }
  if (mask.place && values.has_place()) {
    KLATCH_RETURN_IF_ERROR(CheckPlace(values.place(), "update.place"));
  }
  if (mask.audience) {
    KLATCH_RETURN_IF_ERROR(CheckAudience(values.audience(), "update.audience"));
    // The group's default held at posting; what it is by now may be wider.
    if (values.audience() == v1::AUDIENCE_UNSPECIFIED) {
      return base::InvalidField("update.audience", "is unspecified");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<EditMask> ReadEditMask(const v1::EditUpdateRequest& request) {
  const v1::Update& values = request.update();
  EditMask mask = WhatIsSet(values);
  if (request.update_mask().paths_size() > 0) {
    KLATCH_ASSIGN_OR_RETURN(mask, ReadPaths(request.update_mask()));
  }
  if (!mask.text && !mask.attachments && !mask.place && !mask.audience) {
    return base::InvalidField("update_mask",
                              "names nothing and nothing is set: there is nothing to change");
  }
  KLATCH_RETURN_IF_ERROR(CheckValues(mask, values));
  return mask;
}

absl::StatusOr<std::string> EditedBody(UpdateId id, const Body& current, const EditMask& mask,
                                       const v1::Update& values) {
  KLATCH_ASSIGN_OR_RETURN(v1::Update update, UpdateMessage(id, current));
  if (mask.text) {
    update.set_text(values.text());
  }
  if (mask.attachments) {
    *update.mutable_attachments() = values.attachments();
  }
  if (mask.place) {
    update.clear_place();
    if (values.has_place()) {
      *update.mutable_place() = values.place();
    }
  }
  if (update.text().empty() && update.attachments().empty()) {
    return base::InvalidField("update.text", "would be empty, and there is no attachment");
  }
  BodyHeader header = current.header();
  ++header.revision;
  if (mask.audience) {
    header.audience = static_cast<AudienceRule>(values.audience());
  }
  return EncodeBody(header, UpdateBytes(update, header.author));
}

}  // namespace klatch
