#pragma once
// The one place where names of Redis keys are made (DESIGN: Redis).
//
// Every key begins with a hash tag of our own, `{<namespace>:g<shard>}` or
// `{<namespace>:t<partition>}`, so whatever an id from outside contains, the tag stays the first
// braces and the key stays in its slot. Within a key, `%` and `:` of an id are written %25 and %3A,
// so that two different lists of ids never make one key.

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/status.h"
#include "services/model/ids.h"
#include "services/model/layout.h"
#include "services/model/position.h"

namespace klatch {

// DATA_LOSS: the key's value is not what is kept there. `what` says so behind the key, as in "holds no feed".
absl::Status UnreadableKey(std::string_view key, std::string_view what);

class Keys {
 public:
  explicit Keys(const Layout& layout) : layout_(layout) {}

  // In the group's slot.
  std::string Log(ShardIndex shard) const;
  std::string Groups(ShardIndex shard) const;
  // Hash of the groups of the shard whose past is, or was, bounded: the position from which on it is
  // kept, 8 bytes, little-endian.
  std::string Kept(ShardIndex shard) const;
  std::string Group(const GroupId& group) const;
  std::string Members(const GroupId& group) const;
  std::string Feed(const GroupId& group) const;
  // The groups of the shard whose feeds may hold updates that were not copied to the members.
  std::string Pulled(ShardIndex shard) const;
  std::string Update(UpdateId id) const;
  // What scripts put before an update's 16 hexadecimal digits.
  std::string UpdatePrefix(ShardIndex shard) const;
  // Of a call in several parts `chunk` says which: the first has the key of a call in one part, the
  // others end in a part that no id can spell, since the colon before it stands unescaped.
  std::string Once(const PersonId& actor, const GroupId& target, std::string_view request_id,
                   uint32_t chunk = 0) const;
  // The app's own key of an update that it imports: apart from request ids.
  std::string Imported(const PersonId& author, const GroupId& group,
                       std::string_view source_id) const;

  // Of a group: what became of an update that was posted to several, among them this one.
  std::string Carry(const GroupId& group, UpdateId id) const;
  // What scripts put before the update's 16 hexadecimal digits.
  std::string CarryPrefix(const GroupId& group) const;

  // In the slot of the author's home shard.
  // The request id of a post to several groups. Its target is written as no group can be: empty.
  std::string OnceSeveral(const PersonId& actor, std::string_view request_id) const;
  std::string Pending(ShardIndex shard) const;

  // In the person's slot.
  std::string Timeline(const PersonId& person) const;
  std::string Posts(const PersonId& person) const;
  std::string PersonGroups(const PersonId& person) const;
  std::string Persons(PartitionIndex partition) const;
  std::string Holes(PartitionIndex partition) const;
  // The persons of the partition who get no copies.
  std::string Quiet(PartitionIndex partition) const;
  std::string Checkpoint(PartitionIndex partition) const;
  std::string Lease(PartitionIndex partition) const;
  std::string Blocks(const PersonId& person) const;
  std::string Mutes(const PersonId& person) const;
  std::string Hidden(const PersonId& person) const;
  std::string PersonHash(const PersonId& person) const;
  // The persons of the partition who have blocks, mutes or hidden updates.
  std::string Personal(PartitionIndex partition) const;

  // The namespace's own facts: counts, format version, cursor key.
  std::string Namespace() const;
  // What is written to see how far replicas are; it says nothing.
  std::string CopyMark() const;

 private:
  std::string ShardTag(ShardIndex shard) const;
  std::string PartitionTag(PartitionIndex partition) const;

  Layout layout_;
};

}  // namespace klatch
