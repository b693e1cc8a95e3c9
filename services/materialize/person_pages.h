#pragma once
// The persons of all partitions and what Redis keeps of them, page by page. A thread of its own asks
// for them and parses the replies, a little ahead of who takes the pages: either half takes about as long.
//
//   Redis ─▶ the asking thread ─▶ kPagesAhead replies ─▶ Next: decodes; its caller restores
//
// Thread safety: one thread, which also writes to the directory. The Connection is the asking thread's
// until Next has answered nothing or an error, or the object is gone.
// Bound: kPagesAhead pages wait, of about kPersonsPerPage persons each.
// Errors: UNAVAILABLE when Redis can't be reached; DATA_LOSS naming the key whose value can't be
// read; RESOURCE_EXHAUSTED for more groups than the directory takes. After an error there is nothing more.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/redis/connection.h"
#include "services/model/keys.h"
#include "services/persons/group_directory.h"
#include "services/persons/person.h"

namespace klatch {

struct RestoredPerson {
  std::string id;
  std::vector<Membership> memberships;  // unsorted, tombstones included
  uint64_t hole_since = 0;
  uint64_t quiet_since = 0;  // no copies since then; 0: they get copies
};

// Persons of one partition. A scan may name one twice.
struct PersonPage {
  PartitionIndex partition;
  std::vector<Position> checkpoint;  // by shard
  UpdateId floor;                    // copies up to here are in Redis only
  std::vector<RestoredPerson> persons;
};

class PersonPages {
 public:
  PersonPages(const Layout& layout, redis::Connection& redis, GroupDirectory& groups);
  // Waits for the call to Redis that is under way.
  ~PersonPages();
  PersonPages(const PersonPages&) = delete;
  PersonPages& operator=(const PersonPages&) = delete;

  // The next page; nothing behind the last. A partition without persons has a page, too. Not to be
  // called again after an error or nothing.
  absl::StatusOr<std::optional<PersonPage>> Next();

 private:
  using Sinces = std::vector<std::pair<std::string, uint64_t>>;

  struct PartitionFacts {
    std::vector<Position> checkpoint;  // by shard
    UpdateId floor;                    // its greatest
    Sinces holes;                      // sorted by person
    Sinces quiet;                      // the same
  };

  // Some persons of a partition, and what Redis said of their memberships.
  struct Replies {
    PartitionIndex partition;
    std::shared_ptr<const PartitionFacts> facts;
    std::vector<std::string> persons;
    std::vector<redis::Reply> views;
  };
  using Asked = absl::StatusOr<std::optional<Replies>>;

  // The asking thread.
  void Run();
  Asked Ask();
  absl::StatusOr<PartitionFacts> AskFacts(PartitionIndex partition);

  Asked Take();
  absl::StatusOr<std::vector<Membership>> DecodeView(const std::string& person,
                                                     const redis::Reply& reply);

  const Layout layout_;
  const Keys keys_;
  GroupDirectory& groups_;

  // The asking thread's.
  redis::Connection& redis_;
  uint32_t next_partition_ = 0;
  std::string cursor_;  // within the partition before; empty: that is through
  std::shared_ptr<const PartitionFacts> facts_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Asked> ready_;  // guarded by mutex_
  bool stopping_ = false;    // guarded by mutex_
  std::thread asking_;       // started last
};

}  // namespace klatch
