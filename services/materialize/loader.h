#pragma once
// What a node reads before it serves: of each partition the checkpoint, the holes, the persons and
// their memberships; of each shard what its groups keep no longer, and the groups whose updates were not
// all copied. Afterwards the workers replay the log from the lowest checkpoint.
//
// Thread safety: one thread, before workers and tailer start. PersonPages has one of its own meanwhile.
// Errors: UNAVAILABLE when Redis can't be reached; DATA_LOSS naming the key whose value can't be
// read.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/redis/connection.h"
#include "services/materialize/person_pages.h"
#include "services/model/keys.h"
#include "services/persons/group_directory.h"

namespace klatch {

struct LoadSummary {
  std::vector<Position> replay_after;  // by shard: the lowest checkpoint
  uint64_t persons = 0;
  uint64_t memberships = 0;
};

class Loader {
 public:
  using Restore =
      std::function<absl::Status(PartitionIndex partition, UpdateId floor, RestoredPerson person)>;

  Loader(const Layout& layout, redis::Connection& redis, GroupDirectory& groups, Restore restore);

  absl::StatusOr<LoadSummary> LoadAll();

  // Notes in the directory, and tells `tell`, which groups are pulled or have been until lately.
  using TellDelivery = std::function<void(GroupIndex group, bool is_pulled)>;
  absl::Status LoadDeliveries(const TellDelivery& tell);

 private:
  absl::Status LoadPersons();
  // From where on the past of groups is kept.
  absl::Status LoadKept();
  absl::Status DecodeKept(const std::string& key, redis::ReplyView pairs);

  const Layout layout_;
  const Keys keys_;
  redis::Connection& redis_;
  GroupDirectory& groups_;
  Restore restore_;
  LoadSummary summary_;
};

}  // namespace klatch
