#include "services/accept/validate.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <unordered_map>

#include "common/base/invalid_field.h"
#include "common/base/utf8.h"
#include "services/model/limits.h"
#include "services/model/time.h"

namespace klatch {
namespace {

using google::protobuf::RepeatedPtrField;

// At most `bytes_max` bytes of UTF-8.
absl::Status CheckString(std::string_view value, size_t bytes_max, std::string_view field) {
  if (value.size() > bytes_max) {
    return base::InvalidField(
        field, fmt::format("has {} bytes; at most {} are allowed", value.size(), bytes_max));
  }
  if (!base::IsValidUtf8(value)) {
    return base::InvalidField(field, "is not UTF-8");
  }
  return absl::OkStatus();
}

bool IsControl(char c) {
  constexpr char kDelete = 0x7F;
  return static_cast<unsigned char>(c) < 0x20 || c == kDelete;
}

absl::Status CheckCount(int count, size_t count_max, std::string_view field,
                        std::string_view what) {
  if (count < 1 || static_cast<size_t>(count) > count_max) {
    return base::InvalidField(
        field, fmt::format("has {} {}; 1 to {} are allowed", count, what, count_max));
  }
  return absl::OkStatus();
}

// Not a number is in no range: the comparison is written so that it fails.
absl::Status CheckDegrees(double degrees, double limit, std::string_view field) {
  if (!(degrees >= -limit && degrees <= limit)) {
    return base::InvalidField(field, fmt::format("is not within -{0} to {0} degrees", limit));
  }
  return absl::OkStatus();
}

absl::Status CheckAttachment(const v1::Attachment& attachment, std::string_view field) {
  const std::string uri_field = fmt::format("{}.uri", field);
  if (attachment.uri().empty()) {
    return base::InvalidField(uri_field, "is empty");
  }
  KLATCH_RETURN_IF_ERROR(CheckString(attachment.uri(), limits::kUriBytesMax, uri_field));
  KLATCH_RETURN_IF_ERROR(CheckString(attachment.media_type(), limits::kMediaTypeBytesMax,
                                     fmt::format("{}.media_type", field)));
  return CheckString(attachment.alt_text(), limits::kAltTextBytesMax,
                     fmt::format("{}.alt_text", field));
}

// Remembers where each person was named first. The views must outlive it.
class EachOnce {
 public:
  explicit EachOnce(size_t count) { first_.reserve(count); }

  // `suffix` follows the index in paths: "" or ".person".
  absl::Status Add(std::string_view person, int index, std::string_view list,
                   std::string_view suffix) {
    const auto [it, added] = first_.try_emplace(person, index);
    if (added) {
      return absl::OkStatus();
    }
    return base::InvalidField(fmt::format("{}[{}]{}", list, index, suffix),
                              fmt::format("is listed twice (first at {}[{}])", list, it->second));
  }

 private:
  std::unordered_map<std::string_view, int> first_;
};

}  // namespace

absl::Status CheckNamespace(std::string_view name, const Layout& layout) {
  if (name.empty() || name == layout.name) {
    return absl::OkStatus();
  }
  return base::FieldError(absl::StatusCode::kNotFound, "namespace", "is not served here");
}

absl::Status CheckId(std::string_view id, std::string_view field) {
  if (id.empty()) {
    return base::InvalidField(field, "is empty");
  }
  KLATCH_RETURN_IF_ERROR(CheckString(id, kIdBytesMax, field));
  if (std::any_of(id.begin(), id.end(), IsControl)) {
    return base::InvalidField(field, "has a control character");
  }
  return absl::OkStatus();
}

absl::Status CheckRequestId(std::string_view request_id) {
  if (request_id.empty()) {
    return base::InvalidField("request_id", "is empty");
  }
  return CheckString(request_id, limits::kRequestIdBytesMax, "request_id");
}

absl::Status CheckUpdateId(uint64_t id, std::string_view field) {
  return id == 0 ? base::InvalidField(field, "is missing") : absl::OkStatus();
}

absl::Status CheckText(std::string_view text, std::string_view field) {
  return CheckString(text, limits::kTextBytesMax, field);
}

absl::Status CheckAttachments(const RepeatedPtrField<v1::Attachment>& attachments,
                              std::string_view field) {
  if (static_cast<size_t>(attachments.size()) > limits::kAttachmentsMax) {
    return base::InvalidField(field, fmt::format("has {} attachments; at most {} are allowed",
                                                 attachments.size(), limits::kAttachmentsMax));
  }
  for (int i = 0; i < attachments.size(); ++i) {
    KLATCH_RETURN_IF_ERROR(CheckAttachment(attachments[i], fmt::format("{}[{}]", field, i)));
  }
  return absl::OkStatus();
}

absl::Status CheckPlace(const v1::Place& place, std::string_view field) {
  constexpr double kLatitudeMax = 90;
  constexpr double kLongitudeMax = 180;
  KLATCH_RETURN_IF_ERROR(
      CheckString(place.label(), limits::kPlaceLabelBytesMax, fmt::format("{}.label", field)));
  KLATCH_RETURN_IF_ERROR(
      CheckDegrees(place.latitude(), kLatitudeMax, fmt::format("{}.latitude", field)));
  return CheckDegrees(place.longitude(), kLongitudeMax, fmt::format("{}.longitude", field));
}

absl::Status CheckAudience(v1::Audience audience, std::string_view field) {
  return v1::Audience_IsValid(audience) ? absl::OkStatus()
                                        : base::InvalidField(field, "is no known audience");
}

absl::Status CheckUpdateContent(const v1::Update& update, std::string_view field) {
  if (update.text().empty() && update.attachments().empty()) {
    return base::InvalidField(fmt::format("{}.text", field), "is empty and there is no attachment");
  }
  KLATCH_RETURN_IF_ERROR(CheckText(update.text(), fmt::format("{}.text", field)));
  KLATCH_RETURN_IF_ERROR(
      CheckAttachments(update.attachments(), fmt::format("{}.attachments", field)));
  if (update.has_place()) {
    KLATCH_RETURN_IF_ERROR(CheckPlace(update.place(), fmt::format("{}.place", field)));
  }
  if (update.has_expire_time() && !IsValidTime(update.expire_time())) {
    return base::InvalidField(fmt::format("{}.expire_time", field),
                              "is no time of the years 1 to 9999");
  }
  return CheckAudience(update.audience(), fmt::format("{}.audience", field));
}

absl::Status CheckUpdateGroups(const v1::Update& update, std::string_view field) {
  const std::string list = fmt::format("{}.groups", field);
  KLATCH_RETURN_IF_ERROR(
      CheckCount(update.groups_size(), limits::kGroupsPerUpdateMax, list, "groups"));
  EachOnce once(static_cast<size_t>(update.groups_size()));
  for (int i = 0; i < update.groups_size(); ++i) {
    KLATCH_RETURN_IF_ERROR(CheckId(update.groups(i), fmt::format("{}[{}]", list, i)));
    KLATCH_RETURN_IF_ERROR(once.Add(update.groups(i), i, list, ""));
  }
  return absl::OkStatus();
}

absl::Status CheckTargets(const v1::PublishUpdateRequest& request) {
  if (!request.all_my_groups()) {
    return CheckUpdateGroups(request.update(), "update");
  }
  return request.update().groups().empty()
             ? absl::OkStatus()
             : base::InvalidField("update.groups", "must be empty with all_my_groups");
}

absl::Status CheckAck(v1::Ack ack) {
  return v1::Ack_IsValid(ack) ? absl::OkStatus() : base::InvalidField("ack", "is no known class");
}

absl::Status CheckBatchGroups(const RepeatedPtrField<v1::PublishUpdateRequest>& requests) {
  size_t groups = 0;
  for (const v1::PublishUpdateRequest& request : requests) {
    const size_t own = static_cast<size_t>(request.update().groups_size());
    if (request.all_my_groups()) {
      groups += limits::kGroupsPerUpdateMax;
    } else if (own > 1 && own <= limits::kGroupsPerUpdateMax) {
      groups += own;
    }
  }
  return groups <= limits::kBatchGroupsMax
             ? absl::OkStatus()
             : base::InvalidField("requests",
                                  fmt::format("go to {} groups together; at most {} are allowed",
                                              groups, limits::kBatchGroupsMax));
}

namespace {

// Readers neither post nor add.
absl::Status CheckLowestRole(v1::Role role, std::string_view field) {
  if (!v1::Role_IsValid(role)) {
    return base::InvalidField(field, "is no known role");
  }
  return role == v1::ROLE_READER ? base::InvalidField(field, "is reader, the role that only reads")
                                 : absl::OkStatus();
}

absl::Status CheckHistory(const v1::Group& group, std::string_view field) {
  if (!v1::History_IsValid(group.history())) {
    return base::InvalidField(fmt::format("{}.history", field), "is no known history");
  }
  const std::string count = fmt::format("{}.history_count", field);
  if (group.history() != v1::HISTORY_LAST) {
    return group.history_count() == 0 ? absl::OkStatus()
                                      : base::InvalidField(count, "goes with HISTORY_LAST only");
  }
  if (group.history_count() == 0 || group.history_count() > limits::kTimelineCap) {
    return base::InvalidField(count, fmt::format("is {}; with HISTORY_LAST it is 1 to {}",
                                                 group.history_count(), limits::kTimelineCap));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckGroupFields(const v1::Group& group, std::string_view field) {
  KLATCH_RETURN_IF_ERROR(CheckString(group.display_name(), limits::kDisplayNameBytesMax,
                                     fmt::format("{}.display_name", field)));
  KLATCH_RETURN_IF_ERROR(CheckString(group.description(), limits::kDescriptionBytesMax,
                                     fmt::format("{}.description", field)));
  KLATCH_RETURN_IF_ERROR(CheckHistory(group, field));
  KLATCH_RETURN_IF_ERROR(
      CheckAudience(group.default_audience(), fmt::format("{}.default_audience", field)));
  KLATCH_RETURN_IF_ERROR(CheckLowestRole(group.post_role(), fmt::format("{}.post_role", field)));
  KLATCH_RETURN_IF_ERROR(CheckLowestRole(group.add_role(), fmt::format("{}.add_role", field)));
  if (!v1::Joining_IsValid(group.joining())) {
    return base::InvalidField(fmt::format("{}.joining", field), "is no known way of joining");
  }
  return absl::OkStatus();
}

absl::Status CheckRetention(const v1::Retention& retention, std::chrono::milliseconds age_min,
                            std::string_view field) {
  if (retention.has_age()) {
    const std::string age_field = fmt::format("{}.age", field);
    if (!IsValidDuration(retention.age())) {
      return base::InvalidField(age_field, "is no duration");
    }
    const std::chrono::nanoseconds rest(retention.age().nanos());
    const auto age = std::chrono::seconds(retention.age().seconds());
    // 0 is no bound. The whole seconds first: as nanoseconds the others don't fit.
    const bool is_bound = age.count() != 0 || rest.count() != 0;
    if (is_bound && (age.count() < 0 || age > limits::kKeepAgeMax ||
                     age + rest > limits::kKeepAgeMax || age + rest < age_min)) {
      return base::InvalidField(age_field,
                                fmt::format("is not within {} ms and {} days", age_min.count(),
                                            limits::kKeepAgeMax.count() / 24));
    }
  }
  if (retention.count() > limits::kKeepCountMax) {
    return base::InvalidField(
        fmt::format("{}.count", field),
        fmt::format("is {}; at most {} are kept", retention.count(), limits::kKeepCountMax));
  }
  if (retention.bytes() != 0 && retention.bytes() < limits::kKeepBytesMin) {
    return base::InvalidField(
        fmt::format("{}.bytes", field),
        fmt::format("is {}; at least {} are kept", retention.bytes(), limits::kKeepBytesMin));
  }
  return absl::OkStatus();
}

absl::Status CheckMembers(const RepeatedPtrField<v1::Member>& members, size_t count_max) {
  KLATCH_RETURN_IF_ERROR(CheckCount(members.size(), count_max, "members", "members"));
  EachOnce persons(static_cast<size_t>(members.size()));
  for (int i = 0; i < members.size(); ++i) {
    const v1::Member& member = members[i];
    KLATCH_RETURN_IF_ERROR(CheckId(member.person(), fmt::format("members[{}].person", i)));
    if (!v1::Role_IsValid(member.role())) {
      return base::InvalidField(fmt::format("members[{}].role", i), "is no known role");
    }
    KLATCH_RETURN_IF_ERROR(persons.Add(member.person(), i, "members", ".person"));
  }
  return absl::OkStatus();
}

absl::Status CheckPersons(const RepeatedPtrField<std::string>& persons, size_t count_max) {
  KLATCH_RETURN_IF_ERROR(CheckCount(persons.size(), count_max, "persons", "persons"));
  EachOnce once(static_cast<size_t>(persons.size()));
  for (int i = 0; i < persons.size(); ++i) {
    KLATCH_RETURN_IF_ERROR(CheckId(persons[i], fmt::format("persons[{}]", i)));
    KLATCH_RETURN_IF_ERROR(once.Add(persons[i], i, "persons", ""));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Token>> CheckTokens(const RepeatedPtrField<v1::Token>& tokens,
                                               const Layout& layout) {
  if (static_cast<size_t>(tokens.size()) > limits::kTokensMax) {
    return base::InvalidField("tokens", fmt::format("has {} tokens; at most {} are allowed",
                                                    tokens.size(), limits::kTokensMax));
  }
  std::vector<Token> checked;
  checked.reserve(static_cast<size_t>(tokens.size()));
  for (int i = 0; i < tokens.size(); ++i) {
    const Token token{ShardIndex(tokens[i].shard()), Position(tokens[i].position())};
    if (token.shard.value() >= layout.shard_count) {
      return base::InvalidField(fmt::format("tokens[{}].shard", i),
                                fmt::format("is no shard; there are {}", layout.shard_count));
    }
    if (!token.position.is_zero() && token.position.shard() != token.shard) {
      return base::InvalidField(fmt::format("tokens[{}].position", i),
                                "is not a position of its shard");
    }
    checked.push_back(token);
  }
  return checked;
}

absl::StatusOr<int> CheckPageSize(int32_t page_size, int size_default, int size_max) {
  if (page_size < 0) {
    return base::InvalidField("page_size", "is negative");
  }
  return page_size == 0 ? size_default : std::min<int>(page_size, size_max);
}

absl::Status CheckBatchSize(int size) {
  return CheckCount(size, limits::kBatchUpdatesMax, "requests", "requests");
}

absl::Status CheckImportSize(int size) {
  return CheckCount(size, limits::kImportUpdatesMax, "updates", "updates");
}

absl::Status CheckSourceId(std::string_view source_id) {
  if (source_id.empty()) {
    return base::InvalidField("source_id", "is empty");
  }
  return CheckString(source_id, limits::kRequestIdBytesMax, "source_id");
}

absl::Status CheckOriginalTime(const v1::ImportedUpdate& update, base::WallTime now) {
  constexpr int32_t kNanosMax = 999'999'999;
  constexpr char kField[] = "original_time";
  if (!update.has_original_time()) {
    return base::InvalidField(kField, "is missing");
  }
  const google::protobuf::Timestamp& time = update.original_time();
  if (time.nanos() < 0 || time.nanos() > kNanosMax) {
    return base::InvalidField(kField, "has nanos that are no part of a second");
  }
  if (time.seconds() < 0) {
    return base::InvalidField(kField, "is before 1970");
  }
  const auto latest = std::chrono::duration_cast<std::chrono::seconds>(
      (now + limits::kImportAheadMax).time_since_epoch());
  return time.seconds() <= latest.count() ? absl::OkStatus()
                                          : base::InvalidField(kField, "is in the future");
}

}  // namespace klatch
