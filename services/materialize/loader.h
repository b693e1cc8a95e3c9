#pragma once
// What a node reads before it serves: of each partition the checkpoint, the holes, the persons and
// their memberships; of each shard what its groups keep no longer, and the groups whose updates were not
// all copied. Afterwards the workers replay the log from the lowest checkpoint.
//
// Thread safety: one thread, before workers and tailer start. While it restores a page of persons, a
// thread of its own asks for the next.
// Errors: UNAVAILABLE when Redis can't be reached; DATA_LOSS naming the key whose value can't be
// read.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/redis/connection.h"
#include "services/model/keys.h"
#include "services/persons/group_directory.h"
#include "services/persons/person.h"

namespace klatch {

struct RestoredPerson {
  std::string_view id;
  PartitionIndex partition;
  std::vector<Membership> memberships;  // unsorted, tombstones included
  UpdateId floor;                       // copies up to here are in Redis only
  uint64_t hole_since = 0;
  uint64_t quiet_since = 0;  // no copies since then; 0: they get copies
};

struct LoadSummary {
  std::vector<Position> replay_after;  // by shard: the lowest checkpoint
  uint64_t persons = 0;
  uint64_t memberships = 0;
};

class Loader {
 public:
  using Restore = std::function<absl::Status(const RestoredPerson&)>;

  Loader(const Layout& layout, redis::Connection& redis, GroupDirectory& groups, Restore restore);

  absl::StatusOr<LoadSummary> LoadAll();

  // Notes in the directory, and tells `tell`, which groups are pulled or have been until lately.
  using TellDelivery = std::function<void(GroupIndex group, bool is_pulled)>;
  absl::Status LoadDeliveries(const TellDelivery& tell);

 private:
  struct PartitionFacts {
    std::vector<Position> checkpoint;                     // by shard
    UpdateId floor;                                       // its greatest
    std::vector<std::pair<std::string, uint64_t>> holes;  // sorted by person
    std::vector<std::pair<std::string, uint64_t>> quiet;  // the same
  };

  // Some persons of a partition, and what Redis said of their memberships.
  struct Page {
    PartitionIndex partition;
    std::shared_ptr<const PartitionFacts> facts;
    std::vector<std::string> persons;
    std::vector<redis::Reply> views;
  };

  // From where on the past of groups is kept.
  absl::Status LoadKept();
  absl::Status DecodeKept(const std::string& key, redis::ReplyView pairs);
  // The next page of persons; nothing behind the last of the last partition.
  absl::StatusOr<std::optional<Page>> AskPage();
  absl::StatusOr<PartitionFacts> AskFacts(PartitionIndex partition);
  absl::Status RestorePage(const Page& page);
  absl::StatusOr<std::vector<Membership>> DecodeView(const std::string& key,
                                                     const redis::Reply& reply);

  const Layout layout_;
  const Keys keys_;
  redis::Connection& redis_;
  GroupDirectory& groups_;
  Restore restore_;
  LoadSummary summary_;

  // Of AskPage.
  uint32_t next_partition_ = 0;
  std::string cursor_;  // within the partition before; empty: that is through
  std::shared_ptr<const PartitionFacts> facts_;
};

}  // namespace klatch
