#pragma once
// Checks of what comes from outside. Each returns an error that names the field at fault; what
// passed is trusted from there. None reads anything but its arguments.
//
// Errors: INVALID_ARGUMENT with the field's path, unless said otherwise.
// Thread safety: functions without state.

#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "klatch/v1/feed_service.pb.h"
#include "klatch/v1/group_service.pb.h"
#include "klatch/v1/import_service.pb.h"
#include "klatch/v1/resources.pb.h"
#include "services/model/ids.h"
#include "services/model/layout.h"
#include "services/model/limits.h"
#include "services/model/position.h"

namespace klatch {

// Empty means the first that the node serves. NOT_FOUND ("namespace") for one that is not served
// here.
absl::Status CheckNamespace(std::string_view name, const Layout& layout);

// An id of a person or a group: 1 to 128 bytes of UTF-8 without control characters (C0, DEL). All
// else is allowed, such as spaces, braces and colons.
absl::Status CheckId(std::string_view id, std::string_view field);

// The idempotency key: 1 to 256 bytes of UTF-8.
absl::Status CheckRequestId(std::string_view request_id);

// An update's id: not 0. Whether such an update exists is not asked here.
absl::Status CheckUpdateId(uint64_t id, std::string_view field);

// What a client may say of an update, but its groups, and but how near and far its expiry may be; `field` is the path to it, such as "update".
absl::Status CheckUpdateContent(const v1::Update& update, std::string_view field);
// Parts of it, for edits.
absl::Status CheckText(std::string_view text, std::string_view field);
absl::Status CheckAttachments(const google::protobuf::RepeatedPtrField<v1::Attachment>& attachments,
                              std::string_view field);
absl::Status CheckPlace(const v1::Place& place, std::string_view field);
absl::Status CheckAudience(v1::Audience audience, std::string_view field);

// Exactly one, for now, with a valid id.
absl::Status CheckUpdateGroups(const v1::Update& update, std::string_view field);
// Of a post: groups, or all_my_groups without any.
absl::Status CheckTargets(const v1::PublishUpdateRequest& request);
absl::Status CheckAck(v1::Ack ack);
// How many groups the posts of a batch may go to together.
absl::Status CheckBatchGroups(
    const google::protobuf::RepeatedPtrField<v1::PublishUpdateRequest>& requests);

// Bounds of a group's past; the least age is the caller's.
absl::Status CheckRetention(const v1::Retention& retention, std::chrono::milliseconds age_min,
                            std::string_view field);

// What may be set of a group, but its id and its retention.
absl::Status CheckGroupFields(const v1::Group& group, std::string_view field);

// 1 to `count_max` members with valid ids and roles, each person once.
absl::Status CheckMembers(const google::protobuf::RepeatedPtrField<v1::Member>& members,
                          size_t count_max = limits::kMembersPerCallMax);
// 1 to `count_max` persons, each once.
absl::Status CheckPersons(const google::protobuf::RepeatedPtrField<std::string>& persons,
                          size_t count_max = limits::kMembersPerCallMax);

// At most limits::kTokensMax, each of a shard that exists, with a position of that shard.
absl::StatusOr<std::vector<Token>> CheckTokens(
    const google::protobuf::RepeatedPtrField<v1::Token>& tokens, const Layout& layout);

// 0 becomes `size_default`; what is above `size_max` becomes `size_max`; an error below 0
// ("page_size").
absl::StatusOr<int> CheckPageSize(int32_t page_size, int size_default, int size_max);

// A batch holds 1 to 100 requests ("requests").
absl::Status CheckBatchSize(int size);

// An import holds 1 to 100 updates ("updates").
absl::Status CheckImportSize(int size);
// The app's own key of an imported update: 1 to 256 bytes of UTF-8 ("source_id").
absl::Status CheckSourceId(std::string_view source_id);
// When an imported update was posted: from 1970 on, at most a minute ahead of `now`
// ("original_time").
absl::Status CheckOriginalTime(const v1::ImportedUpdate& update, base::WallTime now);

}  // namespace klatch
