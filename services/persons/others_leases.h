#pragma once
// What a waiting node has seen of others' leases, and since when: a process keeps it from one attempt
// to the next, so that an attempt that gives up does not begin to wait anew.
//
// Thread safety: one thread at a time.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "services/model/ids.h"

namespace klatch {

class OthersLeases {
 public:
  explicit OthersLeases(uint32_t partition_count) : seen_(partition_count) {}

  // What another run of Redis has said counts for nothing: it may have lost what came behind it.
  void Meet(std::string_view run_id) {
    if (run_id_ != run_id) {
      run_id_ = std::string(run_id);
      std::ranges::fill(seen_, Seen());
    }
  }
  // `renewal` was found in Redis before `now`, by a node whose leases last for `duration`.
  void Note(PartitionIndex partition, std::string_view renewal, base::MonotonicTime now,
            std::chrono::milliseconds duration) {
    Seen& seen = seen_[partition.value()];
    if (seen.renewal != renewal) {
      seen = {std::string(renewal), now + duration};
    }
  }
  // The renewal whose lease has run out if it is the last one still; empty if there is none yet.
  std::string_view Outwaited(PartitionIndex partition, base::MonotonicTime now) const {
    const Seen& seen = seen_[partition.value()];
    return now >= seen.runs_out ? std::string_view(seen.renewal) : std::string_view();
  }

 private:
  struct Seen {
    std::string renewal;
    base::MonotonicTime runs_out;
  };
  std::vector<Seen> seen_;
  std::string run_id_;
};

}  // namespace klatch
