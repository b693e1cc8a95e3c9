#pragma once
// What a node reads where its logs do not go on from what is stored: who is in the groups of these shards, as the groups
// have it, and whose the posts are that the feeds have of what was trimmed. What home timelines lack is rebuilt from
// the feeds afterwards, as other holes are.
//
// Thread safety: one thread, before workers and tailer start.
// Bound: the members of one group at once; 64 feeds, 256 bodies in a round trip; the ids of what was trimmed.
// Errors: UNAVAILABLE when Redis can't be reached; DATA_LOSS naming the key whose value can't be read. A feed or a body of
// another type is told and passed over, as flushers do.

#include <functional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "common/redis/connection.h"
#include "services/deliver/log_gap.h"
#include "services/model/keys.h"
#include "services/persons/group_directory.h"

namespace klatch {

class GapLoader {
 public:
  // Of each group of a shard with a gap, once, all members; none if there is no such group any more.
  using TakeGroup =
      std::function<absl::Status(const LogGap& gap, GroupIndex group, std::vector<GroupMember>)>;
  using TakePost = std::function<absl::Status(const PersonId& author, UpdateId id)>;

  GapLoader(const Layout& layout, redis::Connection& redis, GroupDirectory& groups);

  // REQUIRES: what is stored of persons is loaded, so that the directory names their groups.
  absl::Status LoadGroups(const LogGap& gap, const TakeGroup& take);
  // Of all gaps at once, those of what was trimmed: what was posted to several groups is in the feeds of others' shards,
  // and until a group has taken it among what is pending.
  absl::Status LoadPosts(std::span<const LogGap> gaps, const TakePost& take);

 private:
  // All that a scan of the key names, values too if it is a hash.
  absl::Status Scan(const char* command, const std::string& key,
                    const std::function<absl::Status(redis::ReplyView page)>& take);
  absl::StatusOr<std::vector<GroupMember>> MembersOf(const GroupId& group);
  // The groups that the shard lists; the directory has them all then.
  absl::StatusOr<std::unordered_set<uint32_t>> GroupsOf(ShardIndex shard);
  using TrimmedIds = std::unordered_set<uint64_t>;
  absl::Status AddFromFeeds(std::span<const LogGap> trimmed, TrimmedIds& ids);
  absl::Status AddPending(const LogGap& gap, TrimmedIds& ids);

  const Layout layout_;
  const Keys keys_;
  redis::Connection& redis_;
  GroupDirectory& groups_;
};

}  // namespace klatch
