#include "services/log/outcome.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <utility>

#include "common/base/bytes.h"
#include "common/redis/connection.h"
#include "services/log/group_hash.h"

namespace klatch {
namespace {

using absl::StatusCode;

struct Refusal {
  std::string_view answer;
  StatusCode code;
  std::string_view field;  // or one of those below: what the request calls it
  std::string_view description;
  std::string_view reason = "";
};

constexpr std::string_view kGroupField = "";
constexpr std::string_view kPersonsField = "?";
constexpr std::string_view kActorField = "@";
constexpr std::string_view kKeyField = "#";

constexpr std::array kRefusals = {
    Refusal{"NO_GROUP", StatusCode::kNotFound, kGroupField, "does not exist"},
    Refusal{"BAD_REPLY", StatusCode::kNotFound, "update.reply_to",
            "is nothing that its author can see"},
    Refusal{"BAD_RESHARE", StatusCode::kNotFound, "update.reshare_of",
            "is nothing that its author can see"},
    Refusal{"EXPIRES_TOO_SOON", StatusCode::kInvalidArgument, "update.expire_time",
            "is past, or nearer than an update may expire"},
    Refusal{"EXPIRES_TOO_LATE", StatusCode::kInvalidArgument, "update.expire_time",
            "is further ahead than an update may expire, or than updates are kept"},
    Refusal{"GROUP_EXISTS", StatusCode::kAlreadyExists, kGroupField, "is taken"},
    Refusal{"NOT_MEMBER", StatusCode::kPermissionDenied, kActorField,
            "is not a member of the group"},
    Refusal{"ROLE_TOO_LOW", StatusCode::kPermissionDenied, "actor",
            "does not have a role that allows this"},
    Refusal{"ROLE_TOO_HIGH", StatusCode::kPermissionDenied, kPersonsField,
            "contains a role that the actor may not give"},
    Refusal{"ROLE_NOT_BELOW", StatusCode::kPermissionDenied, kPersonsField,
            "contains someone whose role is not below the actor's"},
    Refusal{"CLOSED", StatusCode::kFailedPrecondition, kGroupField, "the group is closed"},
    Refusal{"LAST_OWNER", StatusCode::kFailedPrecondition, kPersonsField,
            "would leave the group without an owner"},
    Refusal{"NO_MEMBER", StatusCode::kNotFound, "member.person", "is not a member of the group"},
    Refusal{"KEY_REUSED", StatusCode::kAlreadyExists, kKeyField, "was used with another payload"},
    Refusal{"NO_UPDATE", StatusCode::kNotFound, "update_id", "does not exist"},
    Refusal{"REMOVED", StatusCode::kNotFound, kGroupField,
            "has the update no longer: a moderator has taken it out"},
    Refusal{"NO_TARGETS", StatusCode::kFailedPrecondition, "all_my_groups",
            "has no group where the actor may post"},
    Refusal{"TOO_MANY_TARGETS", StatusCode::kFailedPrecondition, "all_my_groups",
            "would be more groups than one update may go to; name them"},
    Refusal{"NOT_AUTHOR", StatusCode::kPermissionDenied, "actor", "is not the author"},
    Refusal{"STALE_VERSION", StatusCode::kFailedPrecondition, "version",
            "is older than what the group has", "STALE_VERSION"},
    Refusal{"VERSION_REUSED", StatusCode::kAlreadyExists, "version",
            "was used with another payload"},
};

std::string_view FieldOf(const Refusal& refusal, const RequestFields& fields) {
  if (refusal.field == kGroupField) {
    return fields.group;
  }
  if (refusal.field == kPersonsField) {
    return fields.persons;
  }
  if (refusal.field == kActorField) {
    return fields.actor;
  }
  return refusal.field == kKeyField ? fields.request_id : refusal.field;
}

// Where Redis is out of memory a retry helps once somebody has made room.
absl::Status WithRetryHint(const absl::Status& status) {
  constexpr std::chrono::milliseconds kRetryAfter{1'000};
  if (!absl::IsResourceExhausted(status)) {
    return status;
  }
  return base::RetryLater(status.code(), base::MessageOf(status), kRetryAfter);
}

absl::Status ErrorOf(redis::ReplyView reply, const RequestFields& fields) {
  const std::string_view answer = reply[0].text();
  if (answer == "REDIS") {
    return RedisRefusal(reply[1].text(), reply[2].text());
  }
  if (answer == "REVISION") {
    return base::Error(StatusCode::kAborted, "another edit of the update came first");
  }
  if (answer == "SUPERSEDED") {
    return base::Error(StatusCode::kAborted,
                       "another call with this version goes on in this one's place");
  }
  return RefusalStatus(answer, fields);
}

}  // namespace

absl::Status RefusalStatus(std::string_view answer, const RequestFields& fields) {
  for (const Refusal& refusal : kRefusals) {
    if (refusal.answer == answer) {
      absl::Status status =
          base::FieldError(refusal.code, FieldOf(refusal, fields), refusal.description);
      return refusal.reason.empty() ? status : base::WithReason(std::move(status), refusal.reason);
    }
  }
  return base::Error(StatusCode::kInternal, "a script gave an answer of unknown shape");
}

absl::Status ReadDone(redis::ReplyView reply) {
  if (reply.is_error()) {
    return WithRetryHint(redis::ToStatus(reply));
  }
  return reply[0].text() == "OK" ? absl::OkStatus() : ErrorOf(reply, {});
}

absl::Status RedisRefusal(std::string_view message, std::string_view key) {
  constexpr std::string_view kCorrupt = "CORRUPT ";
  if (message.starts_with(kCorrupt)) {
    return base::Error(StatusCode::kFailedPrecondition,
                       fmt::format("key {} {}", key, message.substr(kCorrupt.size())));
  }
  redisReply error{};
  error.type = REDIS_REPLY_ERROR;
  std::string text(message);
  error.str = text.data();
  error.len = text.size();
  const absl::Status status = WithRetryHint(redis::ToStatus(redis::ReplyView(&error)));
  return key.empty() ? status : base::Annotate(status, fmt::format("key {}", key));
}

absl::StatusOr<Outcome> ReadOutcome(redis::ReplyView reply, const RequestFields& fields) {
  if (reply.is_error()) {
    return WithRetryHint(redis::ToStatus(reply));
  }
  if (reply[0].text() != "OK" || reply[1].text().size() != 8 || !reply[2].is_integer()) {
    return ErrorOf(reply, fields);
  }
  Outcome outcome;
  outcome.position = Position(base::LoadLittleEndian<uint64_t>(reply[1].text(), 0));
  outcome.replayed = reply[2].integer() != 0;
  outcome.changes = std::string(reply[4].text());
  if (reply[3].is_integer()) {
    const int64_t audience = reply[3].integer();
    if (audience < 0 || audience > static_cast<int64_t>(AudienceRule::kMembersNow)) {
      return base::Error(StatusCode::kInternal, "a script answered an unknown audience");
    }
    outcome.audience = static_cast<AudienceRule>(audience);
  } else if (const std::string_view counts = reply[3].text(); counts.size() == 8) {
    outcome.changed = base::LoadLittleEndian<uint32_t>(counts, 0);
    outcome.unchanged = base::LoadLittleEndian<uint32_t>(counts, 4);
  } else if (const std::string_view stay = reply[3].text(); stay.size() == kStayBytes) {
    outcome.stay = DecodeStay(stay).value_or(Stay{});
  } else if (reply[3].is_array() && reply[3].size() == 1) {
    // A number of groups, or how one's updates are delivered; who asked knows which.
    outcome.carried = static_cast<uint32_t>(reply[3][0].integer());
    outcome.delivery = static_cast<Delivery>(
        std::min<uint32_t>(outcome.carried, static_cast<uint32_t>(Delivery::kCopiedAgain)));
  } else if (reply[3].is_array()) {
    outcome.group = group_hash::Decode(reply[3]);
  }
  return outcome;
}

}  // namespace klatch
