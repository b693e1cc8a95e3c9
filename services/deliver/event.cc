#include "services/deliver/event.h"

#include <fmt/format.h>

namespace klatch {
namespace {

using klatch::v1::LogRecord;

void AddChange(Event& event, const Layout& layout, const std::string& person,
               MemberChange::Kind kind, Role role) {
  if (event.change_count == event.changes.size()) {
    event.changes.emplace_back();
  }
  MemberChange& change = event.changes[event.change_count++];
  change.person = person;
  change.partition = layout.PartitionOf(PersonId(person));
  change.kind = kind;
  change.role = role;
}

void DecodeMembersChanged(const klatch::v1::MembersChanged& members, const Layout& layout,
                          Event& event) {
  event.kind = Event::Kind::kMembersChanged;
  if (members.has_visible_from()) {
    event.visible_from = Position(members.visible_from());
  }
  event.has_past = members.has_past();
  for (const auto& joined : members.joined()) {
    AddChange(event, layout, joined.person(), MemberChange::Kind::kJoined,
              static_cast<Role>(joined.role()));
  }
  for (const auto& changed : members.role_changed()) {
    AddChange(event, layout, changed.person(), MemberChange::Kind::kRoleChanged,
              static_cast<Role>(changed.role()));
  }
  for (const std::string& left : members.left()) {
    AddChange(event, layout, left, MemberChange::Kind::kLeft, Role::kNone);
  }
}

void SetAuthor(Event& event, const Layout& layout, const std::string& author) {
  event.author = author;
  event.author_partition = layout.PartitionOf(PersonId(author));
}

// What is about no group: of updates of several groups, what is about them as a whole.
bool IsOfNoGroup(const LogRecord& record) {
  switch (record.event_case()) {
    case LogRecord::kTick:
    case LogRecord::kHomed:
    case LogRecord::kSettled:
      return true;
    case LogRecord::kEdited:
    case LogRecord::kDeleted:
      return record.group().empty();
    default:
      return false;
  }
}

absl::Status AddGroups(const google::protobuf::RepeatedPtrField<std::string>& names,
                       GroupDirectory& groups, Event& event) {
  for (const std::string& name : names) {
    const auto group = groups.FindOrAdd(GroupId(name));
    if (!group) {
      return NoRoomForGroup();
    }
    event.groups.push_back(*group);
  }
  return absl::OkStatus();
}

// Homed, edited, deleted: what is about an update of several groups as a whole.
absl::Status DecodeOfNoGroup(const LogRecord& record, const Layout& layout, GroupDirectory& groups,
                             Event& event) {
  switch (record.event_case()) {
    case LogRecord::kHomed:
      event.kind = Event::Kind::kHomed;
      SetAuthor(event, layout, record.actor());
      break;
    case LogRecord::kEdited:
      event.kind = Event::Kind::kEdited;
      event.update = UpdateId(record.edited().update_id());
      return AddGroups(record.edited().groups(), groups, event);
    case LogRecord::kDeleted:
      event.kind = Event::Kind::kDeleted;
      event.update = UpdateId(record.deleted().update_id());
      return AddGroups(record.deleted().groups(), groups, event);
    default:
      break;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status DecodeEvent(const LogEntry& entry, const Layout& layout, GroupDirectory& groups,
                         Event& event) {
  const LogRecord& record = entry.record;
  event.position = entry.position;
  event.kind = Event::Kind::kTimePassed;
  event.visible_from.reset();
  event.has_past = false;
  event.is_imported = false;
  event.change_count = 0;
  event.group = GroupIndex();
  event.groups.clear();
  if (record.event_case() == LogRecord::EVENT_NOT_SET) {
    return base::Error(absl::StatusCode::kDataLoss,
                       fmt::format("record {} of shard {} has no known event",
                                   entry.position.ToStreamId(), entry.position.shard().value()));
  }
  if (IsOfNoGroup(record)) {
    return DecodeOfNoGroup(record, layout, groups, event);
  }
  const auto group = groups.FindOrAdd(GroupId(record.group()));
  if (!group) {
    return NoRoomForGroup();
  }
  event.group = *group;
  switch (record.event_case()) {
    case LogRecord::kPublished:
      event.kind = Event::Kind::kPublished;
      event.is_imported = record.published().imported();
      SetAuthor(event, layout, record.actor());
      break;
    case LogRecord::kCarried:
      event.kind = Event::Kind::kCarried;
      event.update = UpdateId(record.carried().update_id());
      break;
    case LogRecord::kEdited:
      event.kind = Event::Kind::kEdited;
      event.update = UpdateId(record.edited().update_id());
      break;
    case LogRecord::kDeleted:
      event.kind = Event::Kind::kDeleted;
      event.update = UpdateId(record.deleted().update_id());
      break;
    case LogRecord::kRemoved:
      event.kind = Event::Kind::kTakenOut;
      event.update = UpdateId(record.removed().update_id());
      break;
    case LogRecord::kMembersChanged:
      DecodeMembersChanged(record.members_changed(), layout, event);
      break;
    case LogRecord::kGroupCreated:
      event.kind = Event::Kind::kMembersChanged;
      AddChange(event, layout, record.actor(), MemberChange::Kind::kJoined, Role::kOwner);
      break;
    case LogRecord::kGroupDeleted:
      event.kind = Event::Kind::kGroupDeleted;
      break;
    case LogRecord::kUpdatesTrimmed:
      // Here, so that readers know before any worker has applied it.
      groups.RaiseKeptSince(*group, Position(record.updates_trimmed().kept_since()));
      break;
    case LogRecord::kDeliverySwitched:
      event.kind = Event::Kind::kDeliverySwitched;
      event.is_pulled = record.delivery_switched().pulled();
      groups.NoteDelivery(*group, entry.position, event.is_pulled);
      break;
    default:
      break;
  }
  return absl::OkStatus();
}

}  // namespace klatch
