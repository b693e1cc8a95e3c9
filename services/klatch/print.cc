#include "services/klatch/print.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>

#include <utility>

#include "common/base/option_value.h"
#include "services/klatch/roles.h"
#include "services/klatch/text.h"
#include "services/model/position.h"

namespace klatch::cli {
namespace {

std::chrono::system_clock::time_point TimeOf(const google::protobuf::Timestamp& time) {
  return std::chrono::system_clock::time_point(std::chrono::seconds(time.seconds()));
}

// A position says when, by itself.
std::chrono::system_clock::time_point TimeOf(uint64_t position) {
  return std::chrono::system_clock::time_point(
      std::chrono::milliseconds(Position(position).unix_ms()));
}

std::string Joined(const google::protobuf::RepeatedPtrField<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) {
    text += (text.empty() ? "" : ", ") + CleanLine(part);
  }
  return text;
}

// The text and what hangs on it, each on a line of its own.
std::string Content(const v1::Update& update) {
  std::string text = Clean(update.text());
  const auto add = [&text](const std::string& line) { text += (text.empty() ? "" : "\n") + line; };
  for (const v1::Attachment& attachment : update.attachments()) {
    add(fmt::format("+ {}", CleanLine(attachment.uri())));
  }
  if (!update.place().label().empty()) {
    add(fmt::format("@ {}", CleanLine(update.place().label())));
  }
  if (update.reply_to() != 0) {
    add(fmt::format("> answers {}", update.reply_to()));
  }
  if (update.reshare_of() != 0) {
    add(fmt::format("> passes on {}", update.reshare_of()));
  }
  if (update.revision() != 0) {
    add(fmt::format("(edited {})", Counted(update.revision(), "time", "times")));
  }
  if (update.has_expire_time()) {
    add(fmt::format("(goes at {})",
                    google::protobuf::util::TimeUtil::ToString(update.expire_time())));
  }
  return text;
}

std::string HistoryName(const v1::Group& group) {
  switch (group.history()) {
    case v1::HISTORY_ALL:
      return "all of it";
    case v1::HISTORY_NONE:
      return "nothing before joining";
    case v1::HISTORY_LAST:
      return group.history_count() == 1 ? "the last update"
                                        : fmt::format("the last {} updates", group.history_count());
    default:
      return "unknown";
  }
}

std::string AudienceName(v1::Audience audience) {
  switch (audience) {
    case v1::AUDIENCE_MEMBERS_AT_POSTING:
      return "who was a member when it was posted";
    case v1::AUDIENCE_MEMBERS_NOW:
      return "who is a member now";
    default:
      return "unknown";
  }
}

std::string JoiningName(v1::Joining joining) {
  switch (joining) {
    case v1::JOINING_BY_INVITATION:
      return "by invitation";
    case v1::JOINING_OPEN:
      return "open to everyone";
    default:
      return "unknown";
  }
}

// "the last 24h, 100 updates, 1MiB".
std::string RetentionName(const v1::Retention& retention) {
  using google::protobuf::util::TimeUtil;
  std::string text;
  const auto add = [&text](const std::string& bound) {
    text += (text.empty() ? "" : ", ") + bound;
  };
  if (retention.has_age()) {
    const std::chrono::milliseconds age(TimeUtil::DurationToMilliseconds(retention.age()));
    add(base::PrintDuration(age));
  }
  if (retention.count() != 0) {
    add(Counted(retention.count(), "update", "updates"));
  }
  if (retention.bytes() != 0) {
    add(Counted(retention.bytes(), "byte", "bytes"));
  }
  return "the last " + text;
}

// "owners", "moderators and owners" …
std::string RolesFrom(v1::Role lowest) {
  switch (lowest) {
    case v1::ROLE_MEMBER:
      return "members, moderators and owners";
    case v1::ROLE_MODERATOR:
      return "moderators and owners";
    case v1::ROLE_OWNER:
      return "owners";
    default:
      return "unknown";
  }
}

}  // namespace

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string text;
  // Every message of ours has a JSON form; the status can only be OK.
  (void)google::protobuf::util::MessageToJsonString(message, &text, options);
  return text + "\n";
}

std::string PrintUpdates(const google::protobuf::RepeatedPtrField<v1::Update>& updates,
                         const Session& session) {
  std::vector<std::vector<std::string>> rows;
  for (const v1::Update& update : updates) {
    rows.push_back({RelativeTime(TimeOf(update.create_time()), session.now),
                    CleanLine(update.author()), Joined(update.groups()),
                    std::to_string(update.id()), Content(update)});
  }
  return RenderTable({{"WHEN"}, {"WHO"}, {"GROUP"}, {"ID"}, {"UPDATE"}}, rows, session.screen);
}

std::string PrintCompleteness(const v1::Completeness& completeness, const Session& session) {
  std::string text;
  if (completeness.stale_shards_size() > 0) {
    text += fmt::format(
        "Not up to date: nothing heard from {} lately; complete until {}.\n",
        Counted(static_cast<uint64_t>(completeness.stale_shards_size()), "log shard", "log shards"),
        RelativeTime(TimeOf(completeness.complete_until()), session.now));
  }
  if (completeness.hole_since() != 0) {
    text += fmt::format("Some updates since {} may be missing until they are rebuilt.\n",
                        RelativeTime(TimeOf(completeness.hole_since()), session.now));
  }
  if (completeness.trimmed()) {
    text += "Older updates are beyond what is kept.\n";
  }
  if (completeness.expired()) {
    text += "Some updates that stood here are kept no longer.\n";
  }
  return text;
}

std::string PrintMembers(const google::protobuf::RepeatedPtrField<v1::Member>& members,
                         const Session& session) {
  std::vector<std::vector<std::string>> rows;
  for (const v1::Member& member : members) {
    rows.push_back({CleanLine(member.person()), RoleName(member.role()),
                    RelativeTime(TimeOf(member.joined()), session.now)});
  }
  return RenderTable({{"PERSON"}, {"ROLE"}, {"JOINED"}}, rows, session.screen);
}

std::string PrintPersonGroups(const google::protobuf::RepeatedPtrField<v1::PersonGroup>& groups,
                              const Session& session) {
  std::vector<std::vector<std::string>> rows;
  for (const v1::PersonGroup& group : groups) {
    rows.push_back({CleanLine(group.group()), RoleName(group.member().role()),
                    RelativeTime(TimeOf(group.member().joined()), session.now)});
  }
  return RenderTable({{"GROUP"}, {"ROLE"}, {"JOINED"}}, rows, session.screen);
}

std::string PrintGroup(const v1::Group& group, const Session& session) {
  std::vector<std::vector<std::string>> rows = {{"group", CleanLine(group.id())}};
  if (!group.display_name().empty()) {
    rows.push_back({"name", CleanLine(group.display_name())});
  }
  if (!group.description().empty()) {
    rows.push_back({"about", Clean(group.description())});
  }
  rows.push_back({"members", WithThousands(group.member_count())});
  rows.push_back({"joiners see", HistoryName(group)});
  rows.push_back({"updates reach", AudienceName(group.default_audience())});
  rows.push_back({"who posts", RolesFrom(group.post_role())});
  rows.push_back({"who adds people", RolesFrom(group.add_role())});
  rows.push_back({"joining", JoiningName(group.joining())});
  if (group.has_retention()) {
    rows.push_back({"keeps", RetentionName(group.retention())});
  }
  if (group.pulled()) {
    rows.push_back({"pulled", "yes: too large to be copied to each member"});
  }
  if (group.closed()) {
    rows.push_back({"closed", "yes: nobody posts or joins"});
  }
  rows.push_back({"created", RelativeTime(TimeOf(group.create_time()), session.now)});
  return RenderTable({{"FIELD"}, {"VALUE"}}, rows, session.screen);
}

}  // namespace klatch::cli
