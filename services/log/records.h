#pragma once
// Log records as the node encodes them, each with a new random nonce. Scripts complete the ones
// about members: they know who really joined or left.
//
// Thread safety: any thread.

#include <string>
#include <vector>

#include "services/log/appender.h"
#include "services/model/ids.h"
#include "services/model/position.h"

namespace klatch::records {

std::string Published(const GroupId& group, const PersonId& actor);
std::string Imported(const GroupId& group, const PersonId& author);
std::string Edited(const GroupId& group, const PersonId& actor, UpdateId update);
std::string Deleted(const GroupId& group, const PersonId& actor, UpdateId update,
                    const PersonId& author);
// Of updates of several groups: `groups` are those that took it.
std::string EditedSeveral(const PersonId& actor, UpdateId update,
                          const std::vector<GroupId>& groups);
std::string DeletedSeveral(const PersonId& author, UpdateId update,
                           const std::vector<GroupId>& groups);
std::string Homed(const PersonId& actor);
std::string Carried(const GroupId& group, const PersonId& author, UpdateId update);
std::string Settled(UpdateId update);
std::string Removed(const GroupId& group, const PersonId& actor, UpdateId update);
std::string GroupCreated(const GroupId& group, const PersonId& actor);
std::string GroupUpdated(const GroupId& group, const PersonId& actor);
std::string GroupDeleted(const GroupId& group, const PersonId& actor);
std::string Trimmed(const GroupId& group, Position kept_since);
std::string DeliverySwitched(const GroupId& group, bool is_pulled);
std::string RoleChanged(const GroupId& group, const PersonId& actor, const PersonRole& member);
std::string Tick();

// A record without its event, to which a script adds MembersChanged …
std::string WithoutEvent(const GroupId& group, const PersonId& actor);
// … out of these: a MembersChanged with one person joined, or left.
std::string JoinedPiece(const PersonRole& member);
std::string LeftPiece(const PersonId& person);

}  // namespace klatch::records
