#include "services/log/retention_keeper.h"

#include <algorithm>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/decimal.h"
#include "services/log/group_hash.h"
#include "services/log/outcome.h"
#include "services/log/records.h"
#include "services/log/redis_time.h"
#include "services/log/scripts.h"
#include "services/model/body.h"

namespace klatch {
namespace {

std::string Packed(Position position) {
  std::string bytes;
  base::AppendLittleEndian<uint64_t>(bytes, position.value());
  return bytes;
}

}  // namespace

RetentionKeeper::RetentionKeeper(const Layout& layout, const Options& options,
                                 std::unique_ptr<redis::Connection> redis, const base::Clock& clock)
    : layout_(layout),
      keys_(layout),
      options_(options),
      redis_(std::move(redis)),
      clock_(clock),
      shards_(layout.shard_count),
      thread_("retention", options_.pause, [this] { DoWork(); }) {}

void RetentionKeeper::DoWork() {
  absl::Status status = redis_->connected() ? absl::OkStatus() : redis_->Reconnect();
  if (status.ok()) {
    status = KeepAll();
  }
  if (!status.ok()) {
    Warn(status, "");
  }
}

void RetentionKeeper::Warn(const absl::Status& status, const std::string& group) {
  if (const auto suppressed = error_lines_.Admit(clock_.Monotonic())) {
    obs::Log(obs::Level::kWarn, "retention", "can't let go what is kept no longer; trying again",
             {{"group", group}, {"error", base::MessageOf(status)}, {"suppressed", *suppressed}});
  }
}

// No scan before all that the last one found has been looked at: else groups of the first shards that
// are due again would be dealt with at every pass, and those of the last shards never.
absl::Status RetentionKeeper::KeepAll() {
  if (waiting_.empty()) {
    KLATCH_ASSIGN_OR_RETURN(waiting_, Scan());
  }
  if (waiting_.empty()) {
    return absl::OkStatus();
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<Facts> all, ReadFacts(waiting_));
  KLATCH_ASSIGN_OR_RETURN(const int64_t now_unix_ms, ReadRedisUnixMs(*redis_));
  waiting_.clear();
  size_t kept = 0;
  absl::Status broken;
  for (const Facts& facts : all) {
    if (!IsDue(facts, now_unix_ms)) {
      continue;
    }
    if (kept == limits::kKeeperGroupsPerPass || !broken.ok()) {
      waiting_.push_back(facts.group);
      continue;
    }
    ++kept;
    const absl::Status status = Keep(facts, now_unix_ms);
    if (!status.ok() && !redis_->connected()) {
      broken = status;
    } else if (!status.ok()) {
      Warn(status, facts.group.value());
    }
  }
  return broken;
}

size_t RetentionKeeper::groups_remembered() const {
  size_t count = 0;
  for (const Shard& shard : shards_) {
    count += shard.seen.size();
  }
  return count;
}

absl::StatusOr<std::vector<GroupId>> RetentionKeeper::Scan() {
  std::vector<redis::Command> commands;
  for (uint32_t i = 0; i < layout_.shard_count; ++i) {
    const ShardIndex shard(i);
    commands.push_back(redis::Command{scans_all_groups() ? "SSCAN" : "HSCAN",
                                      scans_all_groups() ? keys_.Groups(shard) : keys_.Kept(shard),
                                      shards_[i].cursor, "COUNT",
                                      std::to_string(limits::kKeeperScan)});
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> replies, redis_->CallAll(commands));
  std::vector<GroupId> groups;
  for (size_t i = 0; i < replies.size(); ++i) {
    const absl::Status status = redis::ToStatus(replies[i].view());
    if (status.ok()) {
      TakeScanned(replies[i].view(), shards_[i], groups);
    } else {
      Warn(base::Annotate(status, commands[i].args[1]), "");
    }
  }
  return groups;
}

// A scan that has come around has found every group that was there all the time.
void RetentionKeeper::TakeScanned(redis::ReplyView reply, Shard& shard,
                                  std::vector<GroupId>& groups) {
  // A hash is scanned as names and values.
  const size_t step = scans_all_groups() ? 1 : 2;
  const redis::ReplyView found = reply[1];
  for (size_t k = 0; k < found.size(); k += step) {
    const auto seen = shard.seen.find(std::string(found[k].text()));
    if (seen != shard.seen.end()) {
      seen->second.found = true;
    }
    groups.emplace_back(found[k].text());
  }
  shard.cursor = reply[0].text().empty() ? "0" : std::string(reply[0].text());
  if (shard.cursor == "0") {
    std::erase_if(shard.seen, [](const auto& entry) { return !entry.second.found; });
    for (auto& [group, seen] : shard.seen) {
      seen.found = false;
    }
  }
}

absl::StatusOr<std::vector<RetentionKeeper::Facts>> RetentionKeeper::ReadFacts(
    const std::vector<GroupId>& groups) {
  std::vector<redis::Command> commands;
  for (const GroupId& group : groups) {
    commands.push_back(redis::Command{"HMGET", keys_.Group(group), group_hash::kState,
                                      group_hash::kFeedCount, group_hash::kKeepAge,
                                      group_hash::kKeepCount, group_hash::kKeepBytes});
    commands.push_back(redis::Command{"HGET", keys_.Kept(layout_.ShardOf(group)), group.value()});
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> replies, redis_->CallAll(commands));
  std::vector<Facts> all;
  for (size_t i = 0; i < groups.size(); ++i) {
    std::optional<Facts> facts =
        DecodeFacts(groups[i], replies[2 * i].view(), replies[2 * i + 1].view());
    if (facts) {
      all.push_back(*std::move(facts));
    } else {
      shards_[layout_.ShardOf(groups[i]).value()].seen.erase(groups[i].value());
    }
  }
  return all;
}

std::optional<RetentionKeeper::Facts> RetentionKeeper::DecodeFacts(const GroupId& group,
                                                                   redis::ReplyView hash,
                                                                   redis::ReplyView kept) {
  const auto own = group_hash::DecodeRetention(hash[2], hash[3], hash[4]);
  const auto feed_count = base::ParseDecimal(hash[1].text());
  if (hash[0].text() != group_hash::kActive || !own || !feed_count) {
    return std::nullopt;
  }
  Facts facts{group, layout_.ShardOf(group), Tighter(*own, options_.of_namespace), *feed_count, {}};
  if (kept.text().size() == sizeof(uint64_t)) {
    facts.kept_since = Position(base::LoadLittleEndian<uint64_t>(kept.text(), 0));
  }
  return facts.bounds.is_bounded() ? std::optional(std::move(facts)) : std::nullopt;
}

bool RetentionKeeper::IsDue(const Facts& facts, int64_t now_unix_ms) const {
  const auto& shard_seen = shards_[facts.shard.value()].seen;
  const auto found = shard_seen.find(facts.group.value());
  if (found == shard_seen.end()) {
    return true;
  }
  const Seen& seen = found->second;
  const bool has_aged = facts.bounds.age.count() != 0 && seen.oldest_unix_ms != 0 &&
                        seen.oldest_unix_ms < now_unix_ms - facts.bounds.age.count();
  return has_aged || seen.bounds != facts.bounds || seen.feed_count != facts.feed_count;
}

// The record first: from there on nobody sees what goes, whatever becomes of the bodies.
absl::Status RetentionKeeper::Keep(const Facts& facts, int64_t now_unix_ms) {
  KLATCH_ASSIGN_OR_RETURN(const FeedEnd end, ReadFeedEnd(facts));
  const Position since =
      KeptSince(facts.bounds, end.items, facts.shard, now_unix_ms, facts.kept_since);
  if (since > facts.kept_since) {
    KLATCH_RETURN_IF_ERROR(Append(facts, since));
    trims_.fetch_add(1, std::memory_order_relaxed);
  }
  const size_t gone = CountGone(end.items, facts.shard, since);
  KLATCH_RETURN_IF_ERROR(DeleteBodies(end, gone));
  Seen& seen = shards_[facts.shard.value()].seen[facts.group.value()];
  seen = {facts.bounds, facts.feed_count, end.first + gone, 0, true};
  if (gone < end.items.size()) {
    seen.oldest_unix_ms = end.items[gone].id.unix_ms();
  }
  return absl::OkStatus();
}

// The count was read before the feed, so its last slots are those of the count or newer ones.
absl::StatusOr<RetentionKeeper::FeedEnd> RetentionKeeper::ReadFeedEnd(const Facts& facts) {
  const std::string key = keys_.Feed(facts.group);
  const auto reply = redis_->Call(redis::Command{"GET", key});
  if (!reply.ok()) {
    return base::Annotate(reply.status(), key);
  }
  const std::string_view ring = reply->text();
  const uint64_t slots = ring.size() / sizeof(uint64_t);
  if (ring.size() % sizeof(uint64_t) != 0 || slots > limits::kStoredSlotsMax) {
    return UnreadableKey(key, "holds no feed");
  }
  FeedEnd end;
  end.first = facts.feed_count - std::min(facts.feed_count, slots);
  const auto& shard_seen = shards_[facts.shard.value()].seen;
  const auto seen = shard_seen.find(facts.group.value());
  if (seen != shard_seen.end()) {
    end.first = std::max(end.first, std::min(seen->second.gone, facts.feed_count));
  }
  for (uint64_t number = end.first; number < facts.feed_count; ++number) {
    end.items.push_back(
        {UpdateId(base::LoadLittleEndian<uint64_t>(ring, number % slots * sizeof(uint64_t))),
         std::nullopt});
  }
  KLATCH_RETURN_IF_ERROR(LookAtBodies(facts, end));
  return end;
}

// What stands in another shard's slot is of several groups; of what stands in this one the body tells.
absl::Status RetentionKeeper::LookAtBodies(const Facts& facts, FeedEnd& end) {
  std::vector<redis::Command> commands;
  for (const FeedItem& item : end.items) {
    const std::string key = keys_.Update(item.id);
    commands.push_back(redis::Command{"GETRANGE", key, "0", "0"});
    commands.push_back(redis::Command{"STRLEN", key});
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> replies, redis_->CallAll(commands));
  std::vector<size_t> several;
  for (size_t i = 0; i < end.items.size(); ++i) {
    const redis::Reply& first_byte = replies[2 * i];
    KLATCH_RETURN_IF_ERROR(
        base::Annotate(redis::ToStatus(first_byte.view()), commands[2 * i].args[1]));
    FeedItem& item = end.items[i];
    item.bytes = static_cast<uint64_t>(replies[2 * i + 1].integer());
    const bool is_of_several = item.id.shard() != facts.shard || IsOfSeveral(first_byte.text());
    end.has_own_body.push_back(!is_of_several && !first_byte.text().empty());
    if (is_of_several) {
      several.push_back(i);
    } else {
      item.position = item.id;
    }
  }
  return FindCarries(facts, end, several);
}

absl::Status RetentionKeeper::FindCarries(const Facts& facts, FeedEnd& end,
                                          const std::vector<size_t>& several) {
  std::vector<redis::Command> commands;
  for (const size_t i : several) {
    commands.push_back(redis::Command{"GET", keys_.Carry(facts.group, end.items[i].id)});
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> replies, redis_->CallAll(commands));
  for (size_t i = 0; i < several.size(); ++i) {
    KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(replies[i].view()), commands[i].args[1]));
    const std::optional<Carry> carry = DecodeCarry(replies[i].text());
    if (carry && carry->is_carried()) {
      end.items[several[i]].position = carry->position;
    }
  }
  return absl::OkStatus();
}

absl::Status RetentionKeeper::Append(const Facts& facts, Position kept_since) {
  const std::string& group = facts.group.value();
  const auto reply = redis_->Call(redis::Command::Eval(
      scripts::Keep(), {keys_.Log(facts.shard), keys_.Group(facts.group), keys_.Kept(facts.shard)},
      {std::to_string(facts.shard.value()), group, Packed(kept_since),
       records::Trimmed(facts.group, kept_since)}));
  return base::Annotate(reply.ok() ? ReadDone(reply->view()) : reply.status(), "keep");
}

absl::Status RetentionKeeper::DeleteBodies(const FeedEnd& end, size_t count) {
  std::vector<redis::Command> commands;
  size_t in_last = limits::kKeeperBodiesPerCommand;
  for (size_t i = 0; i < count; ++i) {
    if (!end.has_own_body[i]) {
      continue;
    }
    if (in_last == limits::kKeeperBodiesPerCommand) {
      commands.push_back(redis::Command{"UNLINK"});
      in_last = 0;
    }
    commands.back().args.push_back(keys_.Update(end.items[i].id));
    ++in_last;
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> replies, redis_->CallAll(commands));
  for (const redis::Reply& reply : replies) {
    KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(reply.view()), "delete bodies"));
    bodies_deleted_.fetch_add(static_cast<uint64_t>(reply.integer()), std::memory_order_relaxed);
  }
  return absl::OkStatus();
}

}  // namespace klatch
