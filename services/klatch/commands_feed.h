#pragma once
// The commands on updates and timelines. Each returns what goes to stdout, or the server's error.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/klatch/session.h"

namespace klatch::cli {

struct PostOptions {
  // One or more, or none with all_my_groups.
  std::vector<std::string> groups;
  bool all_my_groups = false;
  std::string text;
  std::vector<std::string> attachments;
  std::string place;
  uint64_t reply_to = 0;
  uint64_t reshare_of = 0;
  // Empty, "at-posting" or "now".
  std::string audience;
  std::string ack;
  // At most one of both: a time from now as "90m", or a time by RFC 3339. Neither: it stays.
  std::string expire_in;
  std::string expire_at;
  // Empty: a new one.
  std::string request_id;
};
absl::StatusOr<std::string> Post(const Session& session, const PostOptions& options);

struct TimelineOptions {
  // At most one of both; neither means the actor's home timeline.
  std::string group;
  std::string profile;
  int limit = 20;
  // Positions (an update's id is one) that the page must have considered.
  std::vector<uint64_t> after;
};
absl::StatusOr<std::string> Timeline(const Session& session, const TimelineOptions& options);

absl::StatusOr<std::string> Get(const Session& session, uint64_t update_id);
absl::StatusOr<std::string> Edit(const Session& session, uint64_t update_id,
                                 const std::string& text);
absl::StatusOr<std::string> Delete(const Session& session, uint64_t update_id);

// AUDIENCE_UNSPECIFIED for an empty name. REQUIRES: empty, "at-posting" or "now".
v1::Audience AudienceOf(std::string_view name);

}  // namespace klatch::cli
