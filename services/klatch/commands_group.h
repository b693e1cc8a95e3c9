#pragma once
// The commands on groups and members. Each returns what goes to stdout, or the server's error.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/klatch/session.h"

namespace klatch::cli {

struct GroupOptions {
  std::string group;
  std::string display_name;
  std::string description;
  // Empty, "none", "all", or how many of the last updates.
  std::string history;
  // Empty, "at-posting" or "now".
  std::string audience;
  // Each empty or the name of a role.
  std::string post_role;
  std::string add_role;
  // Empty, "invitation" or "open".
  std::string joining;
  // Empty, "yes" or "no".
  std::string closed;
  // Bounds of the past, each empty, or as "24h", "100", "1MiB"; "0s", "0", "0B" take one away.
  std::string keep_age;
  std::string keep_count;
  std::string keep_bytes;
};
absl::StatusOr<std::string> CreateGroup(const Session& session, const GroupOptions& options);
// Changes what is not empty in `options`.
absl::StatusOr<std::string> UpdateGroup(const Session& session, const GroupOptions& options);
absl::StatusOr<std::string> ShowGroup(const Session& session, const std::string& group);
absl::StatusOr<std::string> DeleteGroup(const Session& session, const std::string& group);

struct MembersOptions {
  std::string group;
  std::vector<std::string> persons;
  // "reader", "member", "moderator" or "owner".
  std::string role = "member";
};
// Both send any number of persons, in calls of at most limits::kMembersPerCallMax.
absl::StatusOr<std::string> AddMembers(const Session& session, const MembersOptions& options);
absl::StatusOr<std::string> RemoveMembers(const Session& session, const MembersOptions& options);
// Changes the role of each person, one after the other.
absl::StatusOr<std::string> SetRole(const Session& session, const MembersOptions& options);

absl::StatusOr<std::string> ListMembers(const Session& session, const std::string& group,
                                        int limit);
absl::StatusOr<std::string> ListGroups(const Session& session, int limit);

}  // namespace klatch::cli
