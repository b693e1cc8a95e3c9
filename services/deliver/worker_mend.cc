// What a worker does for operators: takes over memberships as the groups have them, and has home
// timelines made anew.

#include <algorithm>
#include <iterator>
#include <utility>

#include "services/deliver/worker.h"

namespace klatch {

void Worker::Order(std::vector<Mend> mends) {
  std::lock_guard lock(mutex_);
  std::ranges::move(mends, std::back_inserter(mends_));
  asked_.store(true, std::memory_order_relaxed);
}

void Worker::CarryOut(const Mend& mend) {
  Person& person = persons_.At(mend.person);
  for (const MendedStay& stay : mend.stays) {
    MendStay(person, stay);
  }
  if (mend.rebuild) {
    RebuildHome(person);
  }
}

// The stay was read outside the order of the log, so it counts only if nothing that the worker has
// applied can be newer: a member who has left since must not come back. What the group had decided
// beyond `seen` when it was read may be in the stay and still come by the log: it then finds itself
// applied, or is applied once more.
void Worker::MendStay(Person& person, const MendedStay& mended) {
  const MembershipList* list = person.memberships.Own();
  const Membership* before = list == nullptr ? nullptr : list->Find(mended.group);
  const uint32_t shard = mended.shard.value();
  const Position known = before == nullptr ? forgotten_[shard] : before->position;
  if (known > mended.seen) {
    return;
  }
  const bool was_member = before != nullptr && before->stay.role != Role::kNone;
  const bool is_member = mended.stay.role != Role::kNone;
  Membership after{mended.group, mended.stay, {}};
  if (was_member == is_member && (!is_member || before->stay == mended.stay)) {
    // Memory is right, so only the stored view is not: it is written again.
    after.stay = is_member ? before->stay : Stay();
    after.position = before != nullptr ? before->position : std::min(mended.seen, applied_[shard]);
    dirty_.views.push_back({person.index, after.group, after.stay, after.position});
    memberships_changed_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  // Not later than what is applied, else a change to come would be taken for a replay; not before
  // the joining, which the stay has from there.
  after.position = std::max({known, mended.stay.joined, std::min(mended.seen, applied_[shard])});
  if (is_member && !was_member) {
    roster_.Add(mended.group, person.index);
  } else if (was_member && !is_member) {
    roster_.Remove(mended.group, person.index);
  }
  // Watches are not told: what they send is judged by memberships as they are then, and a mended
  // stay has no place in the order of their events.
  SetMembership(person, after);
  if (is_member) {
    RebuildHome(person);
  }
}

void Worker::RebuildHome(Person& person) {
  // Pages ask for what is stored, too: memory may lack what the rebuild brings.
  person.home->RaiseFloor(std::ranges::max(applied_).value());
  MarkHole(person.index, 1);
}

}  // namespace klatch
