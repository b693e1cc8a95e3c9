#include "services/materialize/person_pages.h"

#include <algorithm>
#include <charconv>

#include "common/base/bytes.h"

namespace klatch {
namespace {

constexpr uint32_t kPersonsPerPage = 1000;
constexpr size_t kPagesAhead = 4;

// A hash of persons and since when something is missing, sorted by person.
auto SincesOf(const redis::Reply& hash) {
  std::vector<std::pair<std::string, uint64_t>> sinces;
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
uint64_t SinceOf(const std::vector<std::pair<std::string, uint64_t>>& sinces,
                 const std::string& person) {
  const auto found =
      std::ranges::lower_bound(sinces, person, {}, &std::pair<std::string, uint64_t>::first);
  return found != sinces.end() && found->first == person ? found->second : 0;
}

}  // namespace

PersonPages::PersonPages(const Layout& layout, redis::Connection& redis, GroupDirectory& groups)
    : layout_(layout), keys_(layout), groups_(groups), redis_(redis), asking_([this] { Run(); }) {}

PersonPages::~PersonPages() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  asking_.join();
}

void PersonPages::Run() {
  bool is_last = false;
  while (!is_last) {
    Asked asked = Ask();
    is_last = !asked.ok() || !asked->has_value();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return stopping_ || ready_.size() < kPagesAhead; });
    if (stopping_) {
      return;
    }
    ready_.push_back(std::move(asked));
    changed_.notify_all();
  }
}

PersonPages::Asked PersonPages::Take() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !ready_.empty(); });
  Asked asked = std::move(ready_.front());
  ready_.pop_front();
  changed_.notify_all();
  return asked;
}

absl::StatusOr<std::optional<PersonPage>> PersonPages::Next() {
  KLATCH_ASSIGN_OR_RETURN(std::optional<Replies> replies, Take());
  if (!replies) {
    return std::nullopt;
  }
  PersonPage page{.partition = replies->partition,
                  .checkpoint = replies->facts->checkpoint,
                  .floor = replies->facts->floor,
                  .persons = {}};
  page.persons.reserve(replies->persons.size());
  for (size_t i = 0; i < replies->persons.size(); ++i) {
    std::string& person = replies->persons[i];
    KLATCH_ASSIGN_OR_RETURN(std::vector<Membership> memberships,
                            DecodeView(person, replies->views[i]));
    const uint64_t hole_since = SinceOf(replies->facts->holes, person);
    const uint64_t quiet_since = SinceOf(replies->facts->quiet, person);
    page.persons.push_back({std::move(person), std::move(memberships), hole_since, quiet_since});
  }
  return page;
}

absl::StatusOr<PersonPages::PartitionFacts> PersonPages::AskFacts(PartitionIndex partition) {
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
    return UnreadableKey(keys_.Checkpoint(partition), "is not one position per shard");
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

PersonPages::Asked PersonPages::Ask() {
  if (cursor_.empty()) {
    if (next_partition_ == layout_.partition_count) {
      return std::nullopt;
    }
    KLATCH_ASSIGN_OR_RETURN(PartitionFacts facts, AskFacts(PartitionIndex(next_partition_)));
    facts_ = std::make_shared<const PartitionFacts>(std::move(facts));
    cursor_ = "0";
    ++next_partition_;
  }
  Replies replies{.partition = PartitionIndex(next_partition_ - 1),
                  .facts = facts_,
                  .persons = {},
                  .views = {}};
  const std::string key = keys_.Persons(replies.partition);
  const redis::Command scan{"SSCAN", key, cursor_, "COUNT", std::to_string(kPersonsPerPage)};
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
    replies.persons.emplace_back(items[i].text());
    commands.push_back({"HGETALL", keys_.PersonGroups(PersonId(replies.persons.back()))});
  }
  KLATCH_ASSIGN_OR_RETURN(replies.views, redis_.CallAll(commands));
  return replies;
}

absl::StatusOr<std::vector<Membership>> PersonPages::DecodeView(const std::string& person,
                                                                const redis::Reply& reply) {
  const auto key = [&] { return keys_.PersonGroups(PersonId(person)); };
  if (absl::Status said = redis::ToStatus(reply.view()); !said.ok()) {
    return base::Annotate(said, key());
  }
  const size_t count = reply.size() / 2;
  std::vector<std::string_view> names;
  names.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    names.push_back(reply[2 * i].text());
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<GroupIndex> groups, groups_.FindOrAddAll(names));
  std::vector<Membership> memberships;
  memberships.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    const std::string_view value = reply[2 * i + 1].text();
    const auto stay = DecodeStay(value);
    if (!stay || value.size() != kViewBytes) {
      return UnreadableKey(key(), "holds a membership that this version can't read");
    }
    memberships.push_back(
        {groups[i], *stay, Position(base::LoadLittleEndian<uint64_t>(value, kStayBytes))});
  }
  return memberships;
}

}  // namespace klatch
