#include "services/model/keys.h"

#include <fmt/format.h>

namespace klatch {
namespace {

void AppendEscaped(std::string& out, std::string_view id) {
  for (char c : id) {
    if (c == '%') {
      out += "%25";
    } else if (c == ':') {
      out += "%3A";
    } else {
      out += c;
    }
  }
}

std::string Join(std::string key, std::string_view kind, std::string_view id) {
  key.append(kind);
  AppendEscaped(key, id);
  return key;
}

}  // namespace

absl::Status UnreadableKey(std::string_view key, std::string_view what) {
  return base::Error(absl::StatusCode::kDataLoss, fmt::format("key {} {}", key, what));
}

std::string Keys::ShardTag(ShardIndex shard) const {
  return fmt::format("{{{}:g{}}}", layout_.name, shard.value());
}

std::string Keys::PartitionTag(PartitionIndex partition) const {
  return fmt::format("{{{}:t{}}}", layout_.name, partition.value());
}

std::string Keys::Log(ShardIndex shard) const { return ShardTag(shard) + ":log"; }
std::string Keys::Groups(ShardIndex shard) const { return ShardTag(shard) + ":groups"; }
std::string Keys::Kept(ShardIndex shard) const { return ShardTag(shard) + ":kept"; }

std::string Keys::Group(const GroupId& group) const {
  return Join(ShardTag(layout_.ShardOf(group)), ":group:", group.value());
}
std::string Keys::Members(const GroupId& group) const {
  return Join(ShardTag(layout_.ShardOf(group)), ":members:", group.value());
}
std::string Keys::Feed(const GroupId& group) const {
  return Join(ShardTag(layout_.ShardOf(group)), ":feed:", group.value());
}
std::string Keys::Pulled(ShardIndex shard) const { return ShardTag(shard) + ":pulled"; }
std::string Keys::UpdatePrefix(ShardIndex shard) const { return ShardTag(shard) + ":update:"; }
std::string Keys::Update(UpdateId id) const {
  return fmt::format("{}{:016x}", UpdatePrefix(id.shard()), id.value());
}
std::string Keys::Once(const PersonId& actor, const GroupId& target, std::string_view request_id,
                       uint32_t chunk) const {
  std::string key = Join(ShardTag(layout_.ShardOf(target)), ":once:", actor.value());
  key = Join(std::move(key), ":", target.value());
  key = Join(std::move(key), ":", request_id);
  return chunk == 0 ? key : fmt::format("{}:{}", key, chunk);
}
std::string Keys::Imported(const PersonId& author, const GroupId& group,
                           std::string_view source_id) const {
  std::string key = Join(ShardTag(layout_.ShardOf(group)), ":imported:", author.value());
  key = Join(std::move(key), ":", group.value());
  return Join(std::move(key), ":", source_id);
}

std::string Keys::Carry(const GroupId& group, UpdateId id) const {
  return fmt::format("{}{:016x}", CarryPrefix(group), id.value());
}
std::string Keys::CarryPrefix(const GroupId& group) const {
  return Join(ShardTag(layout_.ShardOf(group)), ":carry:", group.value()) + ":";
}
std::string Keys::OnceSeveral(const PersonId& actor, std::string_view request_id) const {
  std::string key = Join(ShardTag(layout_.HomeShardOf(actor)), ":once:", actor.value());
  return Join(std::move(key), "::", request_id);
}
std::string Keys::Pending(ShardIndex shard) const { return ShardTag(shard) + ":pending"; }

std::string Keys::Timeline(const PersonId& person) const {
  return Join(PartitionTag(layout_.PartitionOf(person)), ":timeline:", person.value());
}
std::string Keys::Posts(const PersonId& person) const {
  return Join(PartitionTag(layout_.PartitionOf(person)), ":posts:", person.value());
}
std::string Keys::PersonGroups(const PersonId& person) const {
  return Join(PartitionTag(layout_.PartitionOf(person)), ":groups:", person.value());
}
std::string Keys::Persons(PartitionIndex partition) const {
  return PartitionTag(partition) + ":persons";
}
std::string Keys::Holes(PartitionIndex partition) const {
  return PartitionTag(partition) + ":holes";
}
std::string Keys::Quiet(PartitionIndex partition) const {
  return PartitionTag(partition) + ":quiet";
}
std::string Keys::Checkpoint(PartitionIndex partition) const {
  return PartitionTag(partition) + ":checkpoint";
}
std::string Keys::Lease(PartitionIndex partition) const {
  return PartitionTag(partition) + ":lease";
}
std::string Keys::Blocks(const PersonId& person) const {
  return Join(PartitionTag(layout_.PartitionOf(person)), ":blocks:", person.value());
}
std::string Keys::Mutes(const PersonId& person) const {
  return Join(PartitionTag(layout_.PartitionOf(person)), ":mutes:", person.value());
}
std::string Keys::Hidden(const PersonId& person) const {
  return Join(PartitionTag(layout_.PartitionOf(person)), ":hidden:", person.value());
}
std::string Keys::PersonHash(const PersonId& person) const {
  return Join(PartitionTag(layout_.PartitionOf(person)), ":person:", person.value());
}
std::string Keys::Personal(PartitionIndex partition) const {
  return PartitionTag(partition) + ":personal";
}

std::string Keys::Namespace() const { return fmt::format("{{{}}}:namespace", layout_.name); }
std::string Keys::CopyMark() const { return fmt::format("{{{}}}:copies", layout_.name); }

}  // namespace klatch
