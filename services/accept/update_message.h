#pragma once
// Between an update as clients write and read it and the body that is stored
// (services/model/body.h).
//
// Thread safety: functions without state.

#include <string>
#include <string_view>

#include "common/base/status.h"
#include "klatch/v1/resources.pb.h"
#include "services/log/appender.h"
#include "services/model/body.h"
#include "services/model/ids.h"
#include "services/model/position.h"

namespace klatch {

// The serialised Update of a body: author, groups, text, attachments, place, reply_to, reshare_of,
// expire_time and original_time of `content`, and nothing else that a client may have sent along. Of a
// post to several groups `content` must have none: they stand in the header. original_time is there of
// what was imported only: posts clear it (PublishPayload).
std::string UpdateBytes(const v1::Update& content, const PersonId& author);

// When it expires by itself; kNeverUnixMs if it doesn't say. REQUIRES: CheckUpdateContent passed.
int64_t ExpireUnixMs(const v1::Update& update);

// The update as a client reads it. DATA_LOSS if the stored bytes are no update.
absl::StatusOr<v1::Update> UpdateMessage(UpdateId id, const Body& body);

// Whether the update was imported.
bool IsImported(const Body& body);

// Tells whether two requests under one key are the same: `method` keeps methods apart. Output-only
// fields must have been cleared.
std::string RequestDigest(std::string_view method, const google::protobuf::Message& payload);

// What of a published update counts as the payload: the content without output-only fields.
v1::Update PublishPayload(const v1::Update& update);

// What appends `payload` to its one group under the idempotency key `key`. Whether its references and its
// expiry are good is not asked.
PublishCommand CommandToOne(std::string_view method, PersonId author, std::string key,
                            const v1::Update& payload);

}  // namespace klatch
