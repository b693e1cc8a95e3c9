#pragma once
// How far delivery and flushing are behind, over all workers, and how full the node is, for
// admission.
//
// Thread safety: any thread, after the last Add.

#include <algorithm>
#include <chrono>
#include <span>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "services/accept/admission.h"
#include "services/deliver/worker.h"
#include "services/klatchd/local_people.h"
#include "services/materialize/flusher.h"
#include "services/persons/group_directory.h"

namespace klatch {

class FlushPressure final : public Pressure {
 public:
  // What is refused here is less than what the directory and the stores can hold: what is in the
  // log already and not applied yet must find room.
  FlushPressure(const base::Clock& clock, const LocalPeople& people, uint32_t persons_max,
                const GroupDirectory& groups, uint32_t groups_max)
      : clock_(clock),
        people_(people),
        persons_max_(persons_max),
        groups_(groups),
        groups_max_(groups_max) {}

  void Add(const Worker& worker, const Flusher& flusher) { pairs_.push_back({&worker, &flusher}); }

  std::chrono::milliseconds OldestUnflushedAge() const override {
    std::chrono::milliseconds oldest{0};
    for (const Pair& pair : pairs_) {
      if (pair.worker->delivered() > pair.flusher->flushed()) {
        oldest = std::max(oldest, std::chrono::duration_cast<std::chrono::milliseconds>(
                                      clock_.Monotonic() - pair.flusher->waiting_since()));
      }
    }
    return oldest;
  }

  bool GroupsFull() const override { return groups_.size() >= groups_max_; }

  bool TakesPersons(std::span<const std::string_view> persons) const override {
    const size_t known = people_.size();
    if (known + persons.size() <= persons_max_) {
      return true;
    }
    const auto unknown = std::ranges::count_if(persons, [this](std::string_view person) {
      return people_.Find(PersonId(person)) == nullptr;
    });
    return known + static_cast<size_t>(unknown) <= persons_max_ || unknown == 0;
  }

  bool TimelinesTight() const override {
    return std::ranges::any_of(pairs_, [](const Pair& pair) { return pair.worker->tight(); });
  }

 private:
  struct Pair {
    const Worker* worker;
    const Flusher* flusher;
  };

  const base::Clock& clock_;
  const LocalPeople& people_;
  const uint32_t persons_max_;
  const GroupDirectory& groups_;
  const uint32_t groups_max_;
  std::vector<Pair> pairs_;
};

}  // namespace klatch
