#pragma once
// The commands on what belongs to one person: blocks, mutes, hidden updates, read markers,
// profiles. Each returns what goes to stdout, or the server's error.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/klatch/session.h"

namespace klatch::cli {

absl::StatusOr<std::string> BlockPerson(const Session& session, const std::string& person);
absl::StatusOr<std::string> UnblockPerson(const Session& session, const std::string& person);
absl::StatusOr<std::string> ListBlocks(const Session& session, int limit);

// A person, or a group if `group` is not empty.
struct MuteOptions {
  std::string person;
  std::string group;
};
absl::StatusOr<std::string> Mute(const Session& session, const MuteOptions& options);
absl::StatusOr<std::string> Unmute(const Session& session, const MuteOptions& options);
absl::StatusOr<std::string> ListMutes(const Session& session);

absl::StatusOr<std::string> Hide(const Session& session, uint64_t update_id);
absl::StatusOr<std::string> Unhide(const Session& session, uint64_t update_id);
absl::StatusOr<std::string> ListHidden(const Session& session, int limit);

struct MarkerOptions {
  // None: the home timeline.
  std::vector<std::string> groups;
  // Empty: show markers and what is unread. "now", or an update's id: move the markers there.
  std::string set;
};
absl::StatusOr<std::string> Markers(const Session& session, const MarkerOptions& options);

struct ProfileOptions {
  // Whose to show; empty: the actor's.
  std::string person;
  // What changes of the actor's; an empty text clears. None: show.
  std::optional<std::string> display_name;
  std::optional<std::string> avatar_uri;
  std::optional<std::string> bio;
  // NAME=VALUE; they take the place of all that there were.
  std::vector<std::string> fields;
};
absl::StatusOr<std::string> Profile(const Session& session, const ProfileOptions& options);

}  // namespace klatch::cli
