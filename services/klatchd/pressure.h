#pragma once
// How far delivery and flushing are behind, over all workers, and how full the node is, for
// admission.
//
// Thread safety: any thread, after the last Add.

#include <algorithm>
#include <chrono>
#include <optional>
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
  struct Bounds {
    uint32_t persons_max = 0;
    uint32_t groups_max = 0;
    uint32_t person_groups_max = 0;  // 0: none
  };

  FlushPressure(const base::Clock& clock, LocalPeople& people, const GroupDirectory& groups,
                Bounds bounds)
      : clock_(clock), people_(people), groups_(groups), bounds_(bounds) {}

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

  bool GroupsFull() const override { return groups_.size() >= bounds_.groups_max; }

  bool TakesPersons(std::span<const std::string_view> persons) const override {
    const size_t known = people_.size();
    if (known + persons.size() <= bounds_.persons_max) {
      return true;
    }
    const auto unknown = std::ranges::count_if(persons, [this](std::string_view person) {
      return people_.Find(PersonId(person)) == nullptr;
    });
    return known + static_cast<size_t>(unknown) <= bounds_.persons_max || unknown == 0;
  }

  // By what has been applied: joins that are under way come on top.
  std::optional<std::string_view> InTooManyGroups(
      std::span<const std::string_view> persons) const override {
    if (bounds_.person_groups_max == 0) {
      return std::nullopt;
    }
    const auto found = std::ranges::find_if(persons, [this](std::string_view person) {
      return GroupCount(PersonId(person)) >= bounds_.person_groups_max;
    });
    return found == persons.end() ? std::nullopt : std::optional(*found);
  }

  bool TimelinesTight() const override {
    return std::ranges::any_of(pairs_, [](const Pair& pair) { return pair.worker->tight(); });
  }

 private:
  size_t GroupCount(const PersonId& id) const {
    const lockfree::EpochReclaimer::Guard guard(people_.epochs());
    const Person* person = people_.Find(id);
    const MembershipList* list = person == nullptr ? nullptr : person->memberships.Load(guard);
    // Those who have left leave something behind.
    return list == nullptr || list->items().size() < bounds_.person_groups_max
               ? 0
               : static_cast<size_t>(
                     std::ranges::count_if(list->items(), [](const Membership& membership) {
                       return membership.stay.role != Role::kNone;
                     }));
  }

  struct Pair {
    const Worker* worker;
    const Flusher* flusher;
  };

  const base::Clock& clock_;
  LocalPeople& people_;
  const GroupDirectory& groups_;
  const Bounds bounds_;
  std::vector<Pair> pairs_;
};

}  // namespace klatch
