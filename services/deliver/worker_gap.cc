// What a worker takes over before it starts, where the log does not tell.

#include <algorithm>
#include <unordered_set>

#include "services/deliver/worker.h"
#include "services/model/past.h"

namespace klatch {

absl::Status Worker::RestoreGroup(const LogGap& gap, GroupIndex group,
                                  std::span<const GroupMember> members) {
  std::unordered_set<uint32_t> present;
  for (const GroupMember& member : members) {
    Person* person = FindOrAddPerson(member.person);
    if (person == nullptr) {
      return TooManyPersons();
    }
    present.insert(person->index);
    const bool has_joined = RestoreStay(gap, group, *person, member.stay);
    if (has_joined || !gap.is_forked) {
      // Copies of the gap were never made: pages ask for what is stored, and say what is not there yet.
      const UpdateId since = OldestIdTakenFrom(gap.from);
      person->home->RaiseFloor(std::max(gap.from, gap.to).value());
      MarkHole(person->index,
               (has_joined ? std::min(since, OldestIdTakenFrom(member.stay.visible_from)) : since)
                   .value());
    }
  }
  // A copy: stays that end leave the roster.
  const std::vector<uint32_t> before(roster_.Of(group).begin(), roster_.Of(group).end());
  for (const uint32_t person : before) {
    if (!present.contains(person)) {
      RestoreStay(gap, group, persons_.At(person), Stay());
    }
  }
  return absl::OkStatus();
}

bool Worker::RestoreStay(const LogGap& gap, GroupIndex group, Person& person, const Stay& stay) {
  const MembershipList* list = person.memberships.Own();
  const Membership* before = list == nullptr ? nullptr : list->Find(group);
  const bool was_member = before != nullptr && before->stay.role != Role::kNone;
  // The log has it. No view but of one that joined behind the gap is believed: who had read on before the gap was
  // noticed made others from what they lacked.
  if (!gap.is_forked && was_member && before->stay.joined > gap.to) {
    return false;
  }
  const bool is_member = stay.role != Role::kNone;
  const bool is_equal = was_member == is_member && (!is_member || before->stay == stay);
  // An equal stay may have the position of a record that is gone, and what the log tells below it would be passed over.
  if (is_equal && (before == nullptr || before->position <= gap.to)) {
    return false;
  }
  if (is_member && !was_member) {
    roster_.Add(group, person.index);
  } else if (was_member && !is_member) {
    roster_.Remove(group, person.index);
  }
  SetMembership(person, {group, stay, gap.to});
  return is_member && !is_equal;
}

absl::Status Worker::RestorePost(std::string_view author, UpdateId id) {
  Person* person = FindOrAddPerson(author);
  if (person == nullptr) {
    return TooManyPersons();
  }
  const TimelineRef timeline(person->index, TimelineRef::Kind::kPosts);
  person->posts->RaiseFloor(id.value());
  dirty_.spilled.push_back({timeline, id.value()});
  MarkSpilled(person->index, id.value());
  if (person->posts->dirty_epoch() != epoch_) {
    person->posts->set_dirty_epoch(epoch_);
    dirty_.timelines.push_back(timeline);
  }
  return absl::OkStatus();
}

void Worker::NoteRestored(Position end) {
  Position& restored = restored_[end.shard().value()];
  restored = std::max(restored, end);
}

}  // namespace klatch
