#pragma once
// Klatch's things as tables for people. Pure; any thread. All outside text is cleaned here.

#include <string>
#include <string_view>
#include <vector>

#include "klatch/v1/group_service.pb.h"
#include "klatch/v1/resources.pb.h"
#include "services/klatch/session.h"

namespace klatch::cli {

// A timeline: when, who, where, what, and the id to name an update by.
std::string PrintUpdates(const google::protobuf::RepeatedPtrField<v1::Update>& updates,
                         const Session& session);

// What a reader must know about a page that is not whole: stale shards, holes, the trimmed end.
// Empty if there is nothing to say.
std::string PrintCompleteness(const v1::Completeness& completeness, const Session& session);

std::string PrintMembers(const google::protobuf::RepeatedPtrField<v1::Member>& members,
                         const Session& session);
std::string PrintPersonGroups(const google::protobuf::RepeatedPtrField<v1::PersonGroup>& groups,
                              const Session& session);
std::string PrintGroup(const v1::Group& group, const Session& session);

}  // namespace klatch::cli
