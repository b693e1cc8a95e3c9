#include "services/materialize/gap_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>
#include <unordered_map>
#include <utility>

#include "common/obs/log.h"
#include "services/materialize/stored_ring.h"
#include "services/model/body.h"

namespace klatch {
namespace {

constexpr const char* kPerScan = "1000";
constexpr size_t kFeedsPerRead = 64;
constexpr size_t kBodiesPerRead = 256;
constexpr size_t kIdDigits = 16;

bool IsWithin(const LogGap& gap, UpdateId id) {
  return id.shard() == gap.shard && id > gap.from && id <= gap.to;
}

// False, told in the log, for what holds another type.
absl::StatusOr<bool> IsSound(redis::ReplyView reply, const std::string& key) {
  const absl::Status status = redis::ToStatus(reply);
  if (status.code() == absl::StatusCode::kFailedPrecondition) {
    obs::Log(obs::Level::kError, "loader", "a key holds another type; passing it over",
             {{"key", key}});
    return false;
  }
  return status.ok() ? absl::StatusOr<bool>(true) : base::Annotate(status, key);
}

}  // namespace

GapLoader::GapLoader(const Layout& layout, redis::Connection& redis, GroupDirectory& groups)
    : layout_(layout), keys_(layout), redis_(redis), groups_(groups) {}

absl::Status GapLoader::Scan(const char* command, const std::string& key,
                             const std::function<absl::Status(redis::ReplyView page)>& take) {
  std::string cursor = "0";
  do {
    const absl::StatusOr<redis::Reply> page =
        redis_.Call(redis::Command{command, key, cursor, "COUNT", kPerScan});
    if (!page.ok()) {
      return base::Annotate(page.status(), key);
    }
    cursor = std::string((*page)[0].text());
    KLATCH_RETURN_IF_ERROR(take((*page)[1]));
  } while (cursor != "0" && !cursor.empty());
  return absl::OkStatus();
}

absl::StatusOr<std::unordered_set<uint32_t>> GapLoader::GroupsOf(ShardIndex shard) {
  std::unordered_set<uint32_t> groups;
  KLATCH_RETURN_IF_ERROR(
      Scan("SSCAN", keys_.Groups(shard), [&](redis::ReplyView page) -> absl::Status {
        for (size_t i = 0; i < page.size(); ++i) {
          const auto group = groups_.FindOrAdd(GroupId(page[i].text()));
          if (!group) {
            return NoRoomForGroup();
          }
          groups.insert(group->value());
        }
        return absl::OkStatus();
      }));
  return groups;
}

absl::Status GapLoader::LoadGroups(const LogGap& gap, const TakeGroup& take) {
  KLATCH_ASSIGN_OR_RETURN(std::unordered_set<uint32_t> groups, GroupsOf(gap.shard));
  // Those that memberships name, and that may have been deleted meanwhile.
  for (uint32_t i = 0; i < groups_.size(); ++i) {
    if (groups_.At(GroupIndex(i)).shard == gap.shard) {
      groups.insert(i);
    }
  }
  for (const uint32_t group : groups) {
    KLATCH_ASSIGN_OR_RETURN(std::vector<GroupMember> members,
                            MembersOf(groups_.At(GroupIndex(group)).id));
    KLATCH_RETURN_IF_ERROR(take(gap, GroupIndex(group), std::move(members)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<GroupMember>> GapLoader::MembersOf(const GroupId& group) {
  // A scan may name a member twice.
  std::unordered_map<std::string, Stay> stays;
  const std::string key = keys_.Members(group);
  KLATCH_RETURN_IF_ERROR(Scan("HSCAN", key, [&](redis::ReplyView page) -> absl::Status {
    for (size_t i = 0; i + 1 < page.size(); i += 2) {
      const std::optional<Stay> stay = DecodeStay(page[i + 1].text());
      if (!stay || page[i + 1].text().size() != kStayBytes) {
        return base::Error(
            absl::StatusCode::kDataLoss,
            fmt::format("key {}: holds a membership that this version can't read", key));
      }
      if (stay->role != Role::kNone) {
        stays[std::string(page[i].text())] = *stay;
      }
    }
    return absl::OkStatus();
  }));
  std::vector<GroupMember> members;
  members.reserve(stays.size());
  for (auto& [person, stay] : stays) {
    members.push_back({person, stay});
  }
  return members;
}

absl::Status GapLoader::AddFromFeeds(std::span<const LogGap> trimmed, TrimmedIds& ids) {
  std::unordered_map<uint32_t, const LogGap*> by_shard;
  for (const LogGap& gap : trimmed) {
    by_shard[gap.shard.value()] = &gap;
  }
  for (uint32_t begin = 0; begin < groups_.size(); begin += kFeedsPerRead) {
    std::vector<redis::Command> commands;
    for (uint32_t i = begin; i < std::min<size_t>(groups_.size(), begin + kFeedsPerRead); ++i) {
      commands.push_back({"GET", keys_.Feed(groups_.At(GroupIndex(i)).id)});
    }
    KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> feeds, redis_.CallAll(commands));
    for (size_t i = 0; i < feeds.size(); ++i) {
      KLATCH_ASSIGN_OR_RETURN(const bool is_sound, IsSound(feeds[i].view(), commands[i].args[1]));
      if (!is_sound) {
        continue;
      }
      for (const uint64_t id : UnpackIds(feeds[i].text())) {
        const auto gap = by_shard.find(UpdateId(id).shard().value());
        if (gap != by_shard.end() && IsWithin(*gap->second, UpdateId(id))) {
          ids.insert(id);
        }
      }
    }
  }
  return absl::OkStatus();
}

absl::Status GapLoader::AddPending(const LogGap& gap, TrimmedIds& ids) {
  const std::string key = keys_.Pending(gap.shard);
  const absl::StatusOr<redis::Reply> pending =
      redis_.Call(redis::Command{"ZRANGEBYSCORE", key, "-inf", "+inf"});
  if (!pending.ok()) {
    return base::Annotate(pending.status(), key);
  }
  for (size_t i = 0; i < pending->size(); ++i) {
    // The id's 16 hexadecimal digits, then the request id.
    const std::string_view digits = (*pending)[i].text().substr(0, kIdDigits);
    uint64_t id = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), id, 16);
    if (parsed.ec == std::errc() && IsWithin(gap, UpdateId(id))) {
      ids.insert(id);
    }
  }
  return absl::OkStatus();
}

absl::Status GapLoader::LoadPosts(std::span<const LogGap> gaps, const TakePost& take) {
  std::vector<LogGap> trimmed;
  std::ranges::copy_if(gaps, std::back_inserter(trimmed),
                       [](const LogGap& gap) { return !gap.is_forked; });
  if (trimmed.empty()) {
    return absl::OkStatus();
  }
  for (uint32_t shard = 0; shard < layout_.shard_count; ++shard) {
    KLATCH_RETURN_IF_ERROR(GroupsOf(ShardIndex(shard)).status());
  }
  TrimmedIds ids;
  KLATCH_RETURN_IF_ERROR(AddFromFeeds(trimmed, ids));
  for (const LogGap& gap : trimmed) {
    KLATCH_RETURN_IF_ERROR(AddPending(gap, ids));
  }
  const std::vector<uint64_t> all(ids.begin(), ids.end());
  for (size_t begin = 0; begin < all.size(); begin += kBodiesPerRead) {
    const auto some = std::span(all).subspan(begin, std::min(kBodiesPerRead, all.size() - begin));
    std::vector<redis::Command> commands;
    for (const uint64_t id : some) {
      commands.push_back({"GET", keys_.Update(UpdateId(id))});
    }
    KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> bodies, redis_.CallAll(commands));
    for (size_t i = 0; i < some.size(); ++i) {
      KLATCH_ASSIGN_OR_RETURN(const bool is_sound, IsSound(bodies[i].view(), commands[i].args[1]));
      // Deleted, or expired: no profile shows it.
      const std::optional<Body> body =
          is_sound ? Body::Decode(std::string(bodies[i].text())) : std::nullopt;
      if (body) {
        KLATCH_RETURN_IF_ERROR(take(body->header().author, UpdateId(some[i])));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace klatch
