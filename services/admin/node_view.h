#pragma once
// What operators' calls need of the node that they are asked of: figures, its persons by partition,
// and its workers and flushers.
//
// Thread safety: any thread; nothing blocks.

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "services/deliver/mend.h"
#include "services/model/ids.h"
#include "services/persons/person.h"

namespace klatch {

// What a node knows of itself without asking anybody.
struct NodeFacts {
  std::string version;
  std::string node_id;
  std::string redis_address;  // without password
  base::MonotonicTime loaded;
  std::vector<std::string> reasons;  // why it is not ready
  uint32_t partitions_held = 0;
  std::chrono::nanoseconds lease_left{0};
  uint64_t persons = 0;
  uint64_t groups = 0;
  uint64_t unflushed_entries = 0;
  uint64_t unflushed_memberships = 0;
  uint64_t holes = 0;
  std::chrono::nanoseconds checkpoint_lag{0};
  std::chrono::nanoseconds append_queue_age{0};
  uint64_t calls = 0;
  uint64_t watches = 0;
  uint64_t watched_persons = 0;
};

class NodeView {
 public:
  virtual ~NodeView() = default;

  virtual NodeFacts Facts() const = 0;

  // At most `count` persons of the partition, in the order of their indexes, from `first` on.
  virtual std::vector<const Person*> PersonsOf(PartitionIndex partition, uint32_t first,
                                               size_t count) const = 0;
  // Has the worker that owns the partition put this right; the persons are of this partition.
  virtual void Order(PartitionIndex partition, std::vector<Mend> mends) = 0;

  // Has everything written that is applied by now, sooner than it would be. A ticket per flusher.
  virtual std::vector<uint64_t> AskFlush() = 0;
  // Whether that is done.
  virtual bool Flushed(std::span<const uint64_t> tickets) const = 0;
};

}  // namespace klatch
