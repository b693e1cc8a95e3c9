#include "services/materialize/loader.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/base/bytes.h"

namespace klatch {
namespace {

constexpr const char* kGroupsPerScan = "1000";

}  // namespace

Loader::Loader(const Layout& layout, redis::Connection& redis, GroupDirectory& groups,
               Restore restore)
    : layout_(layout),
      keys_(layout),
      redis_(redis),
      groups_(groups),
      restore_(std::move(restore)) {}

absl::StatusOr<LoadSummary> Loader::LoadAll() {
  summary_ = {};
  summary_.replay_after.assign(layout_.shard_count, Position(UINT64_MAX));
  KLATCH_RETURN_IF_ERROR(LoadPersons());
  KLATCH_RETURN_IF_ERROR(LoadKept());
  return summary_;
}

absl::Status Loader::LoadPersons() {
  PersonPages pages(layout_, redis_, groups_);
  while (true) {
    KLATCH_ASSIGN_OR_RETURN(std::optional<PersonPage> page, pages.Next());
    if (!page) {
      return absl::OkStatus();
    }
    for (uint32_t shard = 0; shard < layout_.shard_count; ++shard) {
      Position& lowest = summary_.replay_after[shard];
      lowest = std::min(lowest, page->checkpoint[shard]);
    }
    for (RestoredPerson& person : page->persons) {
      summary_.persons += 1;
      summary_.memberships += person.memberships.size();
      KLATCH_RETURN_IF_ERROR(restore_(page->partition, page->floor, std::move(person)));
    }
  }
}

// A replay from the checkpoints on brings what was trimmed since; all before stands here only.
absl::Status Loader::LoadKept() {
  for (uint32_t i = 0; i < layout_.shard_count; ++i) {
    const std::string key = keys_.Kept(ShardIndex(i));
    std::string cursor = "0";
    do {
      const redis::Command scan{"HSCAN", key, cursor, "COUNT", kGroupsPerScan};
      const absl::StatusOr<redis::Reply> page = redis_.Call(scan);
      if (!page.ok()) {
        return base::Annotate(page.status(), key);
      }
      cursor = std::string((*page)[0].text());
      KLATCH_RETURN_IF_ERROR(DecodeKept(key, (*page)[1]));
    } while (cursor != "0" && !cursor.empty());
  }
  return absl::OkStatus();
}

absl::Status Loader::DecodeKept(const std::string& key, redis::ReplyView pairs) {
  for (size_t i = 0; i + 1 < pairs.size(); i += 2) {
    const std::string_view packed = pairs[i + 1].text();
    if (packed.size() != sizeof(uint64_t)) {
      return UnreadableKey(key, "holds what is no position");
    }
    const Position since(base::LoadLittleEndian<uint64_t>(packed, 0));
    if (since.is_zero()) {
      continue;
    }
    const auto group = groups_.FindOrAdd(GroupId(pairs[i].text()));
    if (!group) {
      return NoRoomForGroup();
    }
    groups_.RaiseKeptSince(*group, since);
  }
  return absl::OkStatus();
}

}  // namespace klatch
