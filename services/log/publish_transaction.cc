#include "services/log/publish_transaction.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>

#include "common/base/bytes.h"
#include "common/redis/channel.h"
#include "common/redis/connection.h"
#include "services/log/group_hash.h"
#include "services/log/log_end.h"
#include "services/model/membership.h"
#include "services/model/stored_slots.h"

namespace klatch {
namespace {

constexpr size_t kAudienceOffset = 1;  // in a body
constexpr int kWritesPerPost = 4;
// From there on the script refuses a log.
constexpr uint64_t kMsMax = (uint64_t{1} << 41) - 1;

template <typename Number>
std::optional<Number> ParseNumber(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(number)
                                                                  : std::nullopt;
}

size_t FeedBytes(uint64_t count) { return StoredSlotsFor(count + 1) * kSlotBytes; }

std::string Packed(Position position) {
  std::string bytes;
  base::AppendLittleEndian<uint64_t>(bytes, position.value());
  return bytes;
}

}  // namespace

size_t PublishTransaction::LogOf(ShardIndex shard) {
  const auto [found, is_new] = log_places_.try_emplace(shard.value(), logs_.size());
  if (is_new) {
    logs_.push_back({shard});
  }
  return found->second;
}

size_t PublishTransaction::GroupOf(const GroupId& id) {
  const auto [found, is_new] = group_places_.try_emplace(id.value(), groups_.size());
  if (is_new) {
    groups_.push_back({&id, LogOf(words_.ShardOf(id))});
  }
  return found->second;
}

void PublishTransaction::Add(UpdateOrigin origin, const PublishCommand& command) {
  posts_.push_back({origin, &command, GroupOf(command.group), words_.OnceKey(origin, command)});
}

void PublishTransaction::AppendQuestions(std::vector<redis::Command>& commands) {
  const Keys& keys = words_.keys();
  redis::Command& watch = commands.emplace_back(redis::Command{"WATCH"});
  for (const Log& log : logs_) {
    watch.args.push_back(keys.Log(log.shard));
  }
  commands.push_back({"TIME"});
  for (const Log& log : logs_) {
    commands.push_back(LogEnd::Question(keys.Log(log.shard)));
  }
  for (const Group& group : groups_) {
    commands.push_back({"HMGET", keys.Group(*group.id), group_hash::kState, group_hash::kAudience,
                        group_hash::kFeedCount, group_hash::kPostRole, group_hash::kClosed});
    commands.push_back({"STRLEN", keys.Feed(*group.id)});
  }
  for (const Post& post : posts_) {
    commands.push_back({"HGET", keys.Members(post.command->group), post.command->actor.value()});
  }
  redis::Command& once = commands.emplace_back(redis::Command{"EXISTS"});
  for (const Post& post : posts_) {
    once.args.push_back(post.once);
  }
}

void PublishTransaction::PlanGroup(Group& group, redis::ReplyView facts,
                                   redis::ReplyView feed_bytes) const {
  const auto audience = ParseNumber<uint8_t>(facts[1].text());
  const auto count = facts[2].is_nil() ? 0 : ParseNumber<uint64_t>(facts[2].text());
  const auto post_role = ParseNumber<uint8_t>(facts[3].text());
  if (facts[0].text() != group_hash::kActive || !audience || (*audience != 1 && *audience != 2) ||
      !count || !post_role || *post_role < 2 || *post_role > 4 || !feed_bytes.is_integer() ||
      feed_bytes.integer() != static_cast<int64_t>(FeedBytes(*count))) {
    return;
  }
  group.count = *count;
  group.audience = static_cast<AudienceRule>(*audience);
  group.post_role = *post_role;
  group.is_open = facts[4].text() != "1";
  group.is_sound = true;
}

bool PublishTransaction::IsPlain(const Post& post, const Group& group,
                                 redis::ReplyView stay_bytes) const {
  const PublishCommand& command = *post.command;
  if (!PublishWords::RefusalFor(command.bad_reference, command.bad_expiry).empty() ||
      !group.is_sound || once_keys_.contains(post.once)) {
    return false;
  }
  const std::string_view packed = stay_bytes.text();
  const std::optional<Stay> stay = DecodeStay(packed);
  if (packed.size() != kStayBytes || !stay || stay->role == Role::kNone) {
    return false;
  }
  return post.origin == UpdateOrigin::kImport ||
         (static_cast<uint8_t>(stay->role) >= group.post_role && group.is_open);
}

std::optional<Position> PublishTransaction::Next(const Log& log) const {
  const uint64_t now = words_.clock().Present(static_cast<uint64_t>(now_ms_));
  if (log.last.ms() >= kMsMax) {
    return std::nullopt;
  }
  if (now > log.last.ms()) {
    return Position(now, log.shard, 0);
  }
  const uint32_t sequence = log.last.sequence() + 1;
  return sequence >> kSequenceBits == 0
             ? std::optional(Position(log.last.ms(), log.shard, sequence))
             : std::nullopt;
}

void PublishTransaction::Plan(std::span<const redis::Reply> answers) {
  size_t next = 0;
  const redis::ReplyView watch = answers[next++].view();
  const redis::ReplyView time = answers[next++].view();
  const auto seconds = ParseNumber<int64_t>(time[0].text());
  const auto microseconds = ParseNumber<int64_t>(time[1].text());
  const bool is_watching = watch.text() == "OK" && seconds && microseconds;
  now_ms_ = is_watching ? *seconds * 1'000 + *microseconds / 1'000 - kEpochUnixMs : 0;
  for (Log& log : logs_) {
    const absl::StatusOr<Position> last = LogEnd::Decode(answers[next++].view(), log.shard, "");
    log.is_open = is_watching && now_ms_ > 0 && last.ok();
    log.last = last.ok() ? *last : Position();
  }
  for (Group& group : groups_) {
    PlanGroup(group, answers[next].view(), answers[next + 1].view());
    next += 2;
  }
  // Of any type, and rarely any: which one it is, scripts find out.
  const redis::ReplyView known = answers.back().view();
  const bool is_new = known.is_integer() && known.integer() == 0;
  for (size_t i = 0; i < posts_.size(); ++i) {
    Post& post = posts_[i];
    Group& group = groups_[post.group];
    Log& log = logs_[group.log];
    const std::optional<Position> position = Next(log);
    if (!is_new || !position || !IsPlain(post, group, answers[next + i].view())) {
      log.is_open = false;
      continue;
    }
    post.position = *position;
    const auto asked = static_cast<AudienceRule>(post.command->body[kAudienceOffset]);
    post.audience = asked == AudienceRule::kGroupDefault ? group.audience : asked;
    const size_t feed_bytes = FeedBytes(group.count);
    post.feed_offset = group.count * kSlotBytes % feed_bytes;
    log.last = *position;
    once_keys_.insert(post.once);
    ++group.count;
    // A feed is made longer by the script.
    group.is_sound = FeedBytes(group.count) == feed_bytes;
  }
}

bool PublishTransaction::empty() const {
  return std::ranges::none_of(logs_, [](const Log& log) { return log.is_open; });
}

void PublishTransaction::AppendWrites(std::vector<redis::Command>& commands) {
  const Keys& keys = words_.keys();
  commands.push_back({"MULTI"});
  for (size_t i = 0; i < posts_.size(); ++i) {
    const Post& post = posts_[i];
    if (!takes(i)) {
      continue;
    }
    const PublishCommand& command = *post.command;
    const ShardIndex shard = logs_[groups_[post.group].log].shard;
    const std::string packed = Packed(post.position);
    std::string body = command.body;
    body[kAudienceOffset] = static_cast<char>(post.audience);
    commands.push_back({"XADD", keys.Log(shard), post.position.ToStreamId(), "r",
                        words_.Record(post.origin, command)});
    commands.push_back({"SET", keys.Update(post.position), std::move(body), "PX",
                        words_.BodyMs(command, now_ms_)});
    commands.push_back(
        {"SET", post.once, packed + command.payload_digest, "PX", words_.OnceMs(post.origin)});
    commands.push_back(
        {"SETRANGE", keys.Feed(command.group), std::to_string(post.feed_offset), packed});
  }
  for (const Group& group : groups_) {
    if (logs_[group.log].is_open) {
      commands.push_back(
          {"HSET", keys.Group(*group.id), group_hash::kFeedCount, std::to_string(group.count)});
    }
  }
  commands.push_back({"EXEC"});
}

bool PublishTransaction::Read(std::span<const redis::Reply> answers) {
  const redis::ReplyView exec = answers.back().view();
  if (!exec.is_array()) {
    return false;
  }
  size_t write = 0;
  for (size_t i = 0; i < posts_.size(); ++i) {
    for (int of_post = 0; takes(i) && of_post < kWritesPerPost; ++of_post) {
      const absl::Status status = redis::ToStatus(exec[write++]);
      if (!status.ok()) {
        posts_[i].status = base::WithReason(
            base::Error(absl::StatusCode::kUnavailable,
                        fmt::format("written in part: {}", base::MessageOf(status))),
            redis::kReasonOutcomeUnknown);
      }
    }
  }
  return true;
}

absl::StatusOr<Appended> PublishTransaction::ResultOf(size_t i) const {
  const Post& post = posts_[i];
  if (!post.status.ok()) {
    return post.status;
  }
  return Appended{post.position, false, post.audience};
}

}  // namespace klatch
