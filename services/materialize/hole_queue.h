#pragma once
// The holes that wait to be rebuilt, at most one per person, in the order in which they are due. A
// rebuild that fails is due again after a pause that doubles, so that feeds that can't be read
// don't keep Redis busy nor other holes waiting.
//
// Thread safety: one thread.
// Bound: one entry per person with a hole. Each operation is logarithmic in that.

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "services/deliver/flush_batch.h"

namespace klatch {

class HoleQueue {
 public:
  static constexpr std::chrono::milliseconds kPauseMin{100};
  static constexpr std::chrono::milliseconds kPauseMax{30'000};

  // Due at once, unless the person's hole waits already: then it stays due when it was, and the
  // later generation counts, since one rebuild mends all that was lost before it begins.
  void Add(const HoleMark& hole, base::MonotonicTime now);

  // Takes out holes that are due, at most so many. What comes of each is told by one of the two
  // below.
  std::vector<HoleMark> TakeDue(base::MonotonicTime now, size_t count_max);
  void NoteRebuilt(const HoleMark& hole) { pauses_.erase(hole.person); }
  void NoteFailed(const HoleMark& hole, base::MonotonicTime now);

  // When the first one is due; nothing if there is none.
  std::optional<base::MonotonicTime> NextDue() const;
  size_t size() const { return waiting_.size(); }

 private:
  struct Waiting {
    HoleMark hole;
    base::MonotonicTime due;
  };
  void Insert(const HoleMark& hole, base::MonotonicTime due);

  std::unordered_map<uint32_t, Waiting> waiting_;           // by person
  std::set<std::pair<base::MonotonicTime, uint32_t>> due_;  // of waiting_
  // Of persons whose last rebuild failed.
  std::unordered_map<uint32_t, std::chrono::milliseconds> pauses_;
};

}  // namespace klatch
