#include "services/log/records.h"

#include "common/base/hash.h"
#include "klatch/v1/log_record.pb.h"

namespace klatch::records {
namespace {

using klatch::v1::LogRecord;
using klatch::v1::MembersChanged;

LogRecord Header(const GroupId& group, const PersonId& actor) {
  LogRecord record;
  record.set_nonce(base::RandomUint64());
  record.set_group(group.value());
  record.set_actor(actor.value());
  return record;
}

void SetMember(klatch::v1::MemberRole& out, const PersonRole& member) {
  out.set_person(member.person.value());
  out.set_role(static_cast<klatch::v1::Role>(member.role));
}

}  // namespace

std::string Published(const GroupId& group, const PersonId& actor) {
  LogRecord record = Header(group, actor);
  record.mutable_published();
  return record.SerializeAsString();
}

std::string Imported(const GroupId& group, const PersonId& author) {
  LogRecord record = Header(group, author);
  record.mutable_published()->set_imported(true);
  return record.SerializeAsString();
}

std::string Edited(const GroupId& group, const PersonId& actor, UpdateId update) {
  LogRecord record = Header(group, actor);
  record.mutable_edited()->set_update_id(update.value());
  return record.SerializeAsString();
}

std::string Deleted(const GroupId& group, const PersonId& actor, UpdateId update,
                    const PersonId& author) {
  LogRecord record = Header(group, actor);
  record.mutable_deleted()->set_update_id(update.value());
  record.mutable_deleted()->set_author(author.value());
  return record.SerializeAsString();
}

std::string EditedSeveral(const PersonId& actor, UpdateId update,
                          const std::vector<GroupId>& groups) {
  LogRecord record = Header(GroupId(), actor);
  record.mutable_edited()->set_update_id(update.value());
  for (const GroupId& group : groups) {
    record.mutable_edited()->add_groups(group.value());
  }
  return record.SerializeAsString();
}

std::string DeletedSeveral(const PersonId& author, UpdateId update,
                           const std::vector<GroupId>& groups) {
  LogRecord record = Header(GroupId(), author);
  record.mutable_deleted()->set_update_id(update.value());
  record.mutable_deleted()->set_author(author.value());
  for (const GroupId& group : groups) {
    record.mutable_deleted()->add_groups(group.value());
  }
  return record.SerializeAsString();
}

std::string Homed(const PersonId& actor) {
  LogRecord record = Header(GroupId(), actor);
  record.mutable_homed();
  return record.SerializeAsString();
}

std::string Carried(const GroupId& group, const PersonId& author, UpdateId update) {
  LogRecord record = Header(group, author);
  record.mutable_carried()->set_update_id(update.value());
  return record.SerializeAsString();
}

std::string Settled(UpdateId update) {
  LogRecord record;
  record.set_nonce(base::RandomUint64());
  record.mutable_settled()->set_update_id(update.value());
  return record.SerializeAsString();
}

std::string Removed(const GroupId& group, const PersonId& actor, UpdateId update) {
  LogRecord record = Header(group, actor);
  record.mutable_removed()->set_update_id(update.value());
  return record.SerializeAsString();
}

std::string GroupCreated(const GroupId& group, const PersonId& actor) {
  LogRecord record = Header(group, actor);
  record.mutable_group_created();
  return record.SerializeAsString();
}

std::string GroupUpdated(const GroupId& group, const PersonId& actor) {
  LogRecord record = Header(group, actor);
  record.mutable_group_updated();
  return record.SerializeAsString();
}

std::string GroupDeleted(const GroupId& group, const PersonId& actor) {
  LogRecord record = Header(group, actor);
  record.mutable_group_deleted();
  return record.SerializeAsString();
}

std::string Trimmed(const GroupId& group, Position kept_since) {
  LogRecord record = Header(group, PersonId());
  record.mutable_updates_trimmed()->set_kept_since(kept_since.value());
  return record.SerializeAsString();
}

std::string DeliverySwitched(const GroupId& group, bool is_pulled) {
  LogRecord record = Header(group, PersonId());
  record.mutable_delivery_switched()->set_pulled(is_pulled);
  return record.SerializeAsString();
}

std::string RoleChanged(const GroupId& group, const PersonId& actor, const PersonRole& member) {
  LogRecord record = Header(group, actor);
  SetMember(*record.mutable_members_changed()->add_role_changed(), member);
  return record.SerializeAsString();
}

std::string Tick() {
  LogRecord record;
  record.set_nonce(base::RandomUint64());
  record.mutable_tick();
  return record.SerializeAsString();
}

std::string WithoutEvent(const GroupId& group, const PersonId& actor) {
  return Header(group, actor).SerializeAsString();
}

std::string JoinedPiece(const PersonRole& member) {
  MembersChanged piece;
  SetMember(*piece.add_joined(), member);
  return piece.SerializeAsString();
}

std::string LeftPiece(const PersonId& person) {
  MembersChanged piece;
  piece.add_left(person.value());
  return piece.SerializeAsString();
}

}  // namespace klatch::records
