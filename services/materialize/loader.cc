#include "services/materialize/loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <future>
#include <utility>

#include "common/base/bytes.h"

namespace klatch {
namespace {

constexpr const char* kPersonsPerScan = "1000";

absl::Status Unreadable(const std::string& key, std::string_view what) {
  return base::Error(absl::StatusCode::kDataLoss, fmt::format("key {}: {}", key, what));
}

absl::Status NoRoomForGroup() {
  return base::Error(absl::StatusCode::kResourceExhausted,
                     "more groups than --groups-max; raise it and start again");
}

using Sinces = std::vector<std::pair<std::string, uint64_t>>;

// A hash of persons and since when something is missing, sorted by person.
Sinces SincesOf(const redis::Reply& hash) {
  Sinces sinces;
  for (size_t i = 0; i + 1 < hash.size(); i += 2) {
    const std::string_view text = hash[i + 1].text();
    uint64_t since = 0;
    std::from_chars(text.data(), text.data() + text.size(), since);
    // Something is missing, whatever the number says.
    sinces.emplace_back(hash[i].text(), std::max<uint64_t>(since, 1));
  }
  std::ranges::sort(sinces);
  return sinces;
}

// 0 if nothing is missing.
uint64_t SinceOf(const Sinces& sinces, const std::string& person) {
  const auto found = std::ranges::lower_bound(sinces, person, {}, &Sinces::value_type::first);
  return found != sinces.end() && found->first == person ? found->second : 0;
}

}  // namespace

Loader::Loader(const Layout& layout, redis::Connection& redis, GroupDirectory& groups,
               Restore restore)
    : layout_(layout),
      keys_(layout),
      redis_(redis),
      groups_(groups),
      restore_(std::move(restore)) {}

absl::StatusOr<LoadSummary> Loader::LoadAll() {
  summary_ = {};
  summary_.replay_after.assign(layout_.shard_count, Position(UINT64_MAX));
  next_partition_ = 0;
  cursor_.clear();
  const auto ask = [this] { return AskPage(); };
  auto next = std::async(std::launch::async, ask);
  while (true) {
    KLATCH_ASSIGN_OR_RETURN(const std::optional<Page> page, next.get());
    if (!page) {
      break;
    }
    next = std::async(std::launch::async, ask);
    const absl::Status restored = RestorePage(*page);
    if (!restored.ok()) {
      next.wait();
      return restored;
    }
  }
  KLATCH_RETURN_IF_ERROR(LoadKept());
  return summary_;
}

// A replay from the checkpoints on brings what was trimmed since; all before stands here only.
absl::Status Loader::LoadKept() {
  for (uint32_t i = 0; i < layout_.shard_count; ++i) {
    const std::string key = keys_.Kept(ShardIndex(i));
    std::string cursor = "0";
    do {
      const redis::Command scan{"HSCAN", key, cursor, "COUNT", kPersonsPerScan};
      const absl::StatusOr<redis::Reply> page = redis_.Call(scan);
      if (!page.ok()) {
        return base::Annotate(page.status(), key);
      }
      cursor = std::string((*page)[0].text());
      KLATCH_RETURN_IF_ERROR(DecodeKept(key, (*page)[1]));
    } while (cursor != "0" && !cursor.empty());
  }
  return absl::OkStatus();
}

absl::Status Loader::DecodeKept(const std::string& key, redis::ReplyView pairs) {
  for (size_t i = 0; i + 1 < pairs.size(); i += 2) {
    const std::string_view packed = pairs[i + 1].text();
    if (packed.size() != sizeof(uint64_t)) {
      return Unreadable(key, "holds what is no position");
    }
    const Position since(base::LoadLittleEndian<uint64_t>(packed, 0));
    if (since.is_zero()) {
      continue;
    }
    const auto group = groups_.FindOrAdd(GroupId(pairs[i].text()));
    if (!group) {
      return NoRoomForGroup();
    }
    groups_.RaiseKeptSince(*group, since);
  }
  return absl::OkStatus();
}

absl::StatusOr<Loader::PartitionFacts> Loader::AskFacts(PartitionIndex partition) {
  const std::vector<redis::Command> commands = {redis::Command{"GET", keys_.Checkpoint(partition)},
                                                redis::Command{"HGETALL", keys_.Holes(partition)},
                                                redis::Command{"HGETALL", keys_.Quiet(partition)}};
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> replies, redis_.CallAll(commands));
  for (size_t i = 0; i < replies.size(); ++i) {
    KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(replies[i].view()), commands[i].args[1]));
  }
  PartitionFacts facts;
  const std::string_view packed = replies[0].text();
  if (!packed.empty() && packed.size() != layout_.shard_count * sizeof(uint64_t)) {
    return Unreadable(keys_.Checkpoint(partition), "is not one position per shard");
  }
  for (uint32_t shard = 0; shard < layout_.shard_count; ++shard) {
    const Position position(
        packed.empty() ? 0 : base::LoadLittleEndian<uint64_t>(packed, shard * sizeof(uint64_t)));
    facts.checkpoint.push_back(position);
    facts.floor = std::max(facts.floor, position);
  }
  facts.holes = SincesOf(replies[1]);
  facts.quiet = SincesOf(replies[2]);
  return facts;
}

absl::StatusOr<std::optional<Loader::Page>> Loader::AskPage() {
  if (cursor_.empty()) {
    if (next_partition_ == layout_.partition_count) {
      return std::nullopt;
    }
    KLATCH_ASSIGN_OR_RETURN(PartitionFacts facts, AskFacts(PartitionIndex(next_partition_)));
    facts_ = std::make_shared<const PartitionFacts>(std::move(facts));
    cursor_ = "0";
    ++next_partition_;
  }
  Page page{.partition = PartitionIndex(next_partition_ - 1),
            .facts = facts_,
            .persons = {},
            .views = {}};
  const std::string key = keys_.Persons(page.partition);
  const redis::Command scan{"SSCAN", key, cursor_, "COUNT", kPersonsPerScan};
  const absl::StatusOr<redis::Reply> persons = redis_.Call(scan);
  if (!persons.ok()) {
    return base::Annotate(persons.status(), key);
  }
  const std::string_view cursor = (*persons)[0].text();
  cursor_ = cursor == "0" ? "" : cursor;
  const redis::ReplyView items = (*persons)[1];
  std::vector<redis::Command> commands;
  commands.reserve(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    page.persons.emplace_back(items[i].text());
    commands.push_back({"HGETALL", keys_.PersonGroups(PersonId(page.persons.back()))});
  }
  KLATCH_ASSIGN_OR_RETURN(page.views, redis_.CallAll(commands));
  return page;
}

absl::Status Loader::RestorePage(const Page& page) {
  for (uint32_t shard = 0; shard < layout_.shard_count; ++shard) {
    Position& lowest = summary_.replay_after[shard];
    lowest = std::min(lowest, page.facts->checkpoint[shard]);
  }
  for (size_t i = 0; i < page.persons.size(); ++i) {
    const std::string& person = page.persons[i];
    KLATCH_ASSIGN_OR_RETURN(std::vector<Membership> memberships,
                            DecodeView(keys_.PersonGroups(PersonId(person)), page.views[i]));
    summary_.persons += 1;
    summary_.memberships += memberships.size();
    KLATCH_RETURN_IF_ERROR(
        restore_({person, page.partition, std::move(memberships), page.facts->floor,
                  SinceOf(page.facts->holes, person), SinceOf(page.facts->quiet, person)}));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Membership>> Loader::DecodeView(const std::string& key,
                                                           const redis::Reply& reply) {
  KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(reply.view()), key));
  std::vector<Membership> memberships;
  memberships.reserve(reply.size() / 2);
  for (size_t i = 0; i + 1 < reply.size(); i += 2) {
    const std::string_view value = reply[i + 1].text();
    const auto stay = DecodeStay(value);
    if (!stay || value.size() != kViewBytes) {
      return Unreadable(key, "holds a membership that this version can't read");
    }
    const auto group = groups_.FindOrAdd(GroupId(reply[i].text()));
    if (!group) {
      return NoRoomForGroup();
    }
    memberships.push_back(
        {*group, *stay, Position(base::LoadLittleEndian<uint64_t>(value, kStayBytes))});
  }
  return memberships;
}

}  // namespace klatch
