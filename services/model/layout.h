#pragma once
// A namespace's layout: how many shards and partitions it has, fixed when it is made, and which
// shard a group and which partition a person belongs to.

#include <string>

#include "common/base/hash.h"
#include "services/model/ids.h"

namespace klatch {

struct Layout {
  std::string name = "default";  // [a-z0-9-], 1 to 32 characters
  uint32_t shard_count = 64;
  uint32_t partition_count = 256;

  ShardIndex ShardOf(const GroupId& group) const {
    return ShardIndex(static_cast<uint32_t>(base::StableHash64(group.value()) % shard_count));
  }
  // Where the posts of a person to several groups have their place.
  ShardIndex HomeShardOf(const PersonId& person) const {
    return ShardIndex(static_cast<uint32_t>(base::StableHash64(person.value()) % shard_count));
  }
  PartitionIndex PartitionOf(const PersonId& person) const {
    return PartitionIndex(
        static_cast<uint32_t>(base::StableHash64(person.value()) % partition_count));
  }
};

}  // namespace klatch
