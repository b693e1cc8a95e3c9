#include "services/klatch/commands_sync.h"

#include <fmt/format.h>

#include <utility>

#include "common/base/status.h"
#include "services/klatch/text.h"
#include "services/model/limits.h"

namespace klatch::cli {
namespace {

using Imports = v1::ImportService::Stub;

// A message must stay below the server's bound, with room for what else it holds.
constexpr size_t kPartBytesMax = limits::kMessageBytesMax / 2;
constexpr int kShownMax = 100;

size_t BytesOf(const std::vector<v1::Member>& members) {
  size_t bytes = 0;
  for (const v1::Member& member : members) {
    bytes += member.ByteSizeLong() + 4;
  }
  return bytes;
}

std::vector<v1::SyncManyMembersRequest> PartsOf(const Session& session,
                                                const SyncOptions& options) {
  std::vector<v1::SyncManyMembersRequest> parts(1);
  parts[0].set_namespace_(session.name_space);
  parts[0].set_group(options.group);
  parts[0].set_version(options.version);
  parts[0].set_member_count(static_cast<uint32_t>(options.members.size()));
  size_t bytes = 0;
  for (const v1::Member& member : options.members) {
    bytes += member.ByteSizeLong() + 4;
    if (bytes > kPartBytesMax) {
      parts.emplace_back();
      bytes = 0;
    }
    *parts.back().add_members() = member;
  }
  return parts;
}

void AddRows(const std::string& change, const google::protobuf::RepeatedPtrField<std::string>& list,
             std::vector<std::vector<std::string>>& rows) {
  for (const std::string& person : list) {
    rows.push_back({change, CleanLine(person)});
  }
}

std::string PrintDifference(const Session& session, const SyncOptions& options,
                            const v1::MembersDifference& difference) {
  const std::string summary = fmt::format(
      "{} is at version {}: {} joined, {} changed their role, {} left.\n", CleanLine(options.group),
      options.version, WithThousands(difference.added_count()),
      WithThousands(difference.role_changed_count()), WithThousands(difference.removed_count()));
  std::vector<std::vector<std::string>> rows;
  AddRows("joined", difference.added(), rows);
  AddRows("role", difference.role_changed(), rows);
  AddRows("left", difference.removed(), rows);
  if (rows.empty() || rows.size() > kShownMax) {
    return summary;
  }
  return RenderTable({{"CHANGE"}, {"PERSON"}}, rows, session.screen) + summary;
}

}  // namespace

absl::StatusOr<std::string> SyncMembers(const Session& session, const SyncOptions& options) {
  v1::SyncMembersResponse response;
  if (options.members.size() <= limits::kMembersPerCallMax &&
      BytesOf(options.members) <= kPartBytesMax) {
    v1::SyncMembersRequest request;
    request.set_namespace_(session.name_space);
    request.set_group(options.group);
    request.set_version(options.version);
    for (const v1::Member& member : options.members) {
      *request.add_members() = member;
    }
    KLATCH_ASSIGN_OR_RETURN(
        response, session.client.Call(session.client.imports(), &Imports::SyncMembers, request));
  } else {
    KLATCH_ASSIGN_OR_RETURN(v1::SyncManyMembersResponse many,
                            session.client.Send(session.client.imports(), &Imports::SyncManyMembers,
                                                PartsOf(session, options)));
    *response.mutable_difference() = std::move(*many.mutable_difference());
    *response.mutable_tokens() = std::move(*many.mutable_tokens());
  }
  return session.format == Format::kJson ? ToJson(response)
                                         : PrintDifference(session, options, response.difference());
}

}  // namespace klatch::cli
