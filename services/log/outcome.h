#pragma once
// What a script of the log answered, read once: an outcome, or the status of a refusal.
//
// Thread safety: any thread.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/status.h"
#include "common/redis/reply.h"
#include "services/log/stored_group.h"
#include "services/model/body.h"
#include "services/model/delivery.h"
#include "services/model/membership.h"
#include "services/model/position.h"

namespace klatch {

struct Outcome {
  Position position;
  bool replayed = false;
  AudienceRule audience = AudienceRule::kGroupDefault;  // of a publish
  uint32_t changed = 0;                                 // of members
  uint32_t unchanged = 0;
  uint32_t carried = 0;                   // of a settlement: groups that have the update
  std::string changes;                    // of members: what became of each person, a letter each
  Delivery delivery = Delivery::kCopied;  // of a decision about it
  Stay stay;                              // of a change of role
  std::optional<StoredGroup> group;       // of a change of a group, without its id
};

// How the request calls what a refusal is about.
struct RequestFields {
  std::string_view group = "group";
  std::string_view persons = "persons";
  std::string_view actor = "actor";
  std::string_view request_id = "request_id";
};

// Reads {'OK', position, replayed, …}, {'<REFUSAL>', …} or {'REDIS', message, key}.
// INTERNAL if it is none of them.
absl::StatusOr<Outcome> ReadOutcome(redis::ReplyView reply, const RequestFields& fields);

// OK for {'OK', …}, where there is no position; otherwise as above.
absl::Status ReadDone(redis::ReplyView reply);

// What the refusal of this name says to a caller. INTERNAL if there is none of this name.
absl::Status RefusalStatus(std::string_view name, const RequestFields& fields);

// What Redis, or a script's check of what is stored, objected to, with the key (unless it is empty)
// and, where it is out of memory, a hint when to retry.
absl::Status RedisRefusal(std::string_view message, std::string_view key);

}  // namespace klatch
