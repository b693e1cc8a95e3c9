#include "services/admin/scrub_reader.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "common/redis/connection.h"
#include "services/log/log_end.h"
#include "services/materialize/stored_ring.h"

namespace klatch {
namespace {

constexpr size_t kScansAtOnce = 64;
constexpr const char* kMembersPerScan = "1000";

bool IsWrongType(redis::ReplyView reply) {
  return redis::ToStatus(reply).code() == absl::StatusCode::kFailedPrecondition;
}

Found Unreadable(size_t place, const Person* person, const std::string& key) {
  Found found;
  found.person = place;
  found.finding.set_kind(v1::FINDING_KIND_UNREADABLE);
  found.finding.set_key(key);
  if (person != nullptr) {
    found.finding.set_person(person->id.value());
  }
  return found;
}

}  // namespace

struct ScrubReader::Lists {
  struct One {
    bool view_wrong = false;  // the key holds another type
    std::map<std::string, std::string> view;
    std::vector<Membership> memory;
    bool timeline_wrong = false;
    std::vector<uint64_t> timeline;
  };
  std::vector<One> of;  // by place of the person
};

struct ScrubReader::Groups {
  struct One {
    GroupId id;
    Position seen;
    bool members_wrong = false;
    std::vector<std::string> members;  // by place of the person; empty: no member
    bool feed_wrong = false;
    std::vector<uint64_t> feed;
  };
  std::map<std::string, One> by_id;
};

ScrubReader::ScrubReader(redis::Pipeline& pipeline, const Layout& layout, People& people,
                         const GroupDirectory& groups, base::Executor& executor)
    : pipeline_(pipeline),
      layout_(layout),
      keys_(layout),
      people_(people),
      groups_(groups),
      executor_(executor) {}

std::vector<Membership> ScrubReader::MembershipsOf(const Person& person) const {
  const lockfree::EpochReclaimer::Guard guard(people_.epochs());
  const MembershipList* list = person.memberships.Load(guard);
  return list == nullptr ? std::vector<Membership>()
                         : std::vector<Membership>(list->items().begin(), list->items().end());
}

base::Task<absl::StatusOr<ScrubReader::Lists>> ScrubReader::ReadLists(
    std::vector<const Person*> persons) {
  Commands commands;
  for (const Person* person : persons) {
    commands.push_back(redis::Command{"HGETALL", keys_.PersonGroups(person->id)});
    commands.push_back(redis::Command{"GET", keys_.Timeline(person->id)});
  }
  redis::Pipeline::CallAllAwaiter call = pipeline_.CallAll(std::move(commands));
  const redis::Pipeline::Replies replies = co_await call;
  co_await executor_.Schedule();
  if (!replies.ok()) {
    co_return base::Annotate(replies.status(), "read the persons");
  }
  Lists lists;
  for (size_t i = 0; i < persons.size(); ++i) {
    const redis::ReplyView view = (*replies)[2 * i].view();
    const redis::ReplyView timeline = (*replies)[2 * i + 1].view();
    for (const redis::ReplyView reply : {view, timeline}) {
      absl::Status status = redis::ToStatus(reply);
      if (!status.ok() && !IsWrongType(reply)) {
        co_return base::Annotate(status, "read the persons");
      }
    }
    Lists::One one;
    one.view_wrong = IsWrongType(view);
    for (size_t j = 0; j + 1 < view.size(); j += 2) {
      one.view.emplace(view[j].text(), view[j + 1].text());
    }
    one.timeline_wrong = IsWrongType(timeline);
    if (!one.timeline_wrong) {
      one.timeline = UnpackIds(timeline.text());
    }
    one.memory = MembershipsOf(*persons[i]);
    lists.of.push_back(std::move(one));
  }
  co_return lists;
}

// The ends of the logs are asked for before the members, on the same connection: what the members
// say is at least as new.
base::Task<absl::StatusOr<ScrubReader::Groups>> ScrubReader::ReadGroups(
    std::vector<const Person*> persons, std::vector<GroupId> groups, bool feeds) {
  std::map<uint32_t, size_t> ends;  // by shard: place among the commands
  for (const GroupId& group : groups) {
    ends.emplace(layout_.ShardOf(group).value(), 0);
  }
  Commands commands;
  for (auto& [shard, place] : ends) {
    place = commands.size();
    commands.push_back(LogEnd::Question(keys_.Log(ShardIndex(shard))));
  }
  const size_t first = commands.size();
  for (const GroupId& group : groups) {
    redis::Command members{"HMGET", keys_.Members(group)};
    for (const Person* person : persons) {
      members.args.push_back(person->id.value());
    }
    commands.push_back(std::move(members));
    if (feeds) {
      commands.push_back(redis::Command{"GET", keys_.Feed(group)});
    }
  }
  redis::Pipeline::CallAllAwaiter call = pipeline_.CallAll(std::move(commands));
  const redis::Pipeline::Replies replies = co_await call;
  co_await executor_.Schedule();
  if (!replies.ok()) {
    co_return base::Annotate(replies.status(), "read the groups");
  }
  Groups read;
  size_t place = first;
  for (const GroupId& group : groups) {
    Groups::One one;
    one.id = group;
    const ShardIndex shard = layout_.ShardOf(group);
    absl::StatusOr<Position> end =
        LogEnd::Decode((*replies)[ends[shard.value()]].view(), shard, keys_.Log(shard));
    if (!end.ok()) {
      co_return end.status();
    }
    one.seen = *end;
    const redis::ReplyView members = (*replies)[place++].view();
    one.members_wrong = IsWrongType(members);
    for (size_t i = 0; i < persons.size(); ++i) {
      one.members.emplace_back(members[i].text());
      one.members_wrong |= !one.members[i].empty() && !DecodeStay(one.members[i]);
    }
    if (feeds) {
      const redis::ReplyView feed = (*replies)[place++].view();
      one.feed_wrong = IsWrongType(feed);
      if (!feed.is_error()) {
        one.feed = UnpackIds(feed.text());
      }
    }
    std::string id = group.value();
    read.by_id.emplace(std::move(id), std::move(one));
  }
  co_return read;
}

base::Task<absl::StatusOr<std::vector<Found>>> ScrubReader::LookAtLists(
    std::vector<const Person*> persons, std::vector<Position> written) {
  auto reading = ReadLists(persons);
  absl::StatusOr<Lists> lists = co_await std::move(reading);
  if (!lists.ok()) {
    co_return lists.status();
  }
  std::set<std::string> known;
  for (const Lists::One& one : lists->of) {
    for (const auto& [group, bytes] : one.view) {
      known.insert(group);
    }
    for (const Membership& membership : one.memory) {
      known.insert(groups_.At(membership.group).id.value());
    }
  }
  std::vector<GroupId> ids;
  for (const std::string& group : known) {
    ids.emplace_back(group);
  }
  auto asking = ReadGroups(persons, std::move(ids), /*feeds=*/true);
  absl::StatusOr<Groups> groups = co_await std::move(asking);
  if (!groups.ok()) {
    co_return groups.status();
  }
  std::vector<Found> found = UnreadableKeys(*groups);
  for (size_t i = 0; i < persons.size(); ++i) {
    Compare(i, *persons[i], *lists, *groups, written, found);
  }
  co_return found;
}

std::vector<Found> ScrubReader::UnreadableKeys(const Groups& groups) const {
  std::vector<Found> found;
  for (const auto& [id, group] : groups.by_id) {
    if (group.members_wrong) {
      found.push_back(Unreadable(0, nullptr, keys_.Members(group.id)));
      found.back().finding.set_group(id);
    }
    if (group.feed_wrong) {
      found.push_back(Unreadable(0, nullptr, keys_.Feed(group.id)));
      found.back().finding.set_group(id);
    }
  }
  return found;
}

void ScrubReader::Compare(size_t place, const Person& person, const Lists& lists,
                          const Groups& groups, const std::vector<Position>& written,
                          std::vector<Found>& found) const {
  const Lists::One& one = lists.of[place];
  std::map<std::string, ThreeViews> views;
  const auto of = [&views](const GroupId& group) -> ThreeViews& {
    ThreeViews& three = views[group.value()];
    three.group = group;
    return three;
  };
  for (const auto& [group, bytes] : one.view) {
    of(GroupId(group)).view = bytes;
  }
  for (const Membership& membership : one.memory) {
    of(groups_.At(membership.group).id).memory = membership;
  }
  std::optional<size_t> view_wrong;
  if (one.view_wrong) {
    view_wrong = found.size();
    found.push_back(Unreadable(place, &person, keys_.PersonGroups(person.id)));
  }
  std::vector<DueFeed> feeds;
  for (auto& [id, three] : views) {
    const Groups::One& group = groups.by_id.at(id);
    if (group.members_wrong) {
      continue;
    }
    three.members = group.members[place];
    const std::optional<Stay> stay = DecodeStay(three.members);
    if (view_wrong) {
      // That it is gone is one finding; what memory has is compared all the same. Writing one
      // membership again writes all that memory has.
      three.view =
          stay ? std::optional(three.members + std::string(sizeof(uint64_t), '\0')) : std::nullopt;
    }
    if (std::optional<Found> differs = CompareViews(three, group.seen, groups_, layout_)) {
      differs->person = place;
      differs->finding.set_person(person.id.value());
      found.push_back(*std::move(differs));
    } else if (stay) {
      // Of a group whose updates are, or were lately, read from its feed copies are not due.
      if (groups_.FeedMark(groups_.Find(group.id)->index).is_zero()) {
        feeds.push_back({&group.id, &group.feed, *stay});
      }
      if (view_wrong) {
        found[*view_wrong].stay =
            MendedStay{groups_.Find(group.id)->index, layout_.ShardOf(group.id), *stay, group.seen};
      }
    }
  }
  if (one.timeline_wrong) {
    found.push_back(Unreadable(place, &person, keys_.Timeline(person.id)));
    found.back().rebuild = true;
    return;
  }
  CompareCopies(place, person, one.timeline, feeds, written, found);
}

void ScrubReader::CompareCopies(size_t place, const Person& person,
                                const std::vector<uint64_t>& stored,
                                const std::vector<DueFeed>& feeds,
                                const std::vector<Position>& written,
                                std::vector<Found>& found) const {
  // Copies are missing by design, from who does not read, or are being put back. Acquire, partner of
  // the worker's release before it leaves out the first copy.
  if (person.hole_since.load(std::memory_order_relaxed) != 0 ||
      person.quiet_since.load(std::memory_order_acquire) != 0) {
    return;
  }
  for (const auto& [id, group] : MissingCopies(feeds, stored, written)) {
    Found missing;
    missing.person = place;
    missing.finding.set_kind(v1::FINDING_KIND_COPY_MISSING);
    missing.finding.set_person(person.id.value());
    missing.finding.set_group(group->value());
    missing.finding.set_update_id(id);
    missing.rebuild = true;
    found.push_back(std::move(missing));
  }
}

bool ScrubReader::IsUnknown(const PersonId& id, const GroupId& group) const {
  const Person* person = people_.Find(id);
  const GroupEntry* entry = groups_.Find(group);
  if (person == nullptr || entry == nullptr) {
    return true;
  }
  const lockfree::EpochReclaimer::Guard guard(people_.epochs());
  const MembershipList* list = person->memberships.Load(guard);
  return list == nullptr || list->Find(entry->index) == nullptr;
}

base::Task<absl::StatusOr<ScrubReader::MembersLook>> ScrubReader::LookAtMembers(
    std::vector<GroupId> groups) {
  struct Scan {
    GroupId group;
    std::string cursor = "0";
  };
  MembersLook look;
  std::vector<Scan> scans;
  while (!groups.empty() || !scans.empty()) {
    for (; !groups.empty() && scans.size() < kScansAtOnce; groups.pop_back()) {
      scans.push_back({std::move(groups.back())});
    }
    Commands commands;
    for (const Scan& scan : scans) {
      commands.push_back(redis::Command{"HSCAN", keys_.Members(scan.group), scan.cursor, "COUNT",
                                        kMembersPerScan});
    }
    redis::Pipeline::CallAllAwaiter call = pipeline_.CallAll(std::move(commands));
    const redis::Pipeline::Replies replies = co_await call;
    co_await executor_.Schedule();
    if (!replies.ok()) {
      co_return base::Annotate(replies.status(), "read the groups");
    }
    for (size_t i = 0; i < scans.size(); ++i) {
      Scan& scan = scans[i];
      const redis::ReplyView reply = (*replies)[i].view();
      if (IsWrongType(reply)) {
        look.unreadable.push_back(Unreadable(0, nullptr, keys_.Members(scan.group)));
        look.unreadable.back().finding.set_group(scan.group.value());
        scan.cursor = "0";
        continue;
      }
      absl::Status status = redis::ToStatus(reply);
      if (!status.ok()) {
        co_return base::Annotate(status, keys_.Members(scan.group));
      }
      const redis::ReplyView pairs = reply[1];
      for (size_t j = 0; j + 1 < pairs.size(); j += 2) {
        ++look.members;
        PersonId person(pairs[j].text());
        if (IsUnknown(person, scan.group)) {
          look.unknown.push_back({std::move(person), scan.group});
        }
      }
      scan.cursor = std::string(reply[0].text());
    }
    std::erase_if(scans, [](const Scan& scan) { return scan.cursor == "0"; });
  }
  std::ranges::sort(look.unknown);
  const auto [end, last] = std::ranges::unique(look.unknown);
  look.unknown.erase(end, last);
  co_return look;
}

base::Task<absl::StatusOr<std::vector<Found>>> ScrubReader::LookAtGroups(
    std::vector<const Person*> persons, std::vector<GroupId> groups) {
  std::vector<Found> found;
  if (groups.empty()) {
    co_return found;
  }
  auto asking = ReadGroups(persons, std::move(groups), /*feeds=*/false);
  absl::StatusOr<Groups> read = co_await std::move(asking);
  if (!read.ok()) {
    co_return read.status();
  }
  found = UnreadableKeys(*read);
  std::vector<MembershipList> lists;
  for (const Person* person : persons) {
    lists.emplace_back(MembershipsOf(*person));
  }
  std::vector<std::pair<size_t, const Groups::One*>> unknown;
  Commands commands;
  for (const auto& [id, group] : read->by_id) {
    const GroupEntry* entry = groups_.Find(group.id);
    for (size_t i = 0; i < persons.size(); ++i) {
      const bool is_member = !group.members_wrong && !group.members[i].empty();
      if (is_member && (entry == nullptr || lists[i].Find(entry->index) == nullptr)) {
        unknown.emplace_back(i, &group);
        commands.push_back(
            redis::Command{"HMGET", keys_.PersonGroups(persons[i]->id), group.id.value()});
      }
    }
  }
  if (unknown.empty()) {
    co_return found;
  }
  redis::Pipeline::CallAllAwaiter call = pipeline_.CallAll(std::move(commands));
  const redis::Pipeline::Replies views = co_await call;
  co_await executor_.Schedule();
  if (!views.ok()) {
    co_return base::Annotate(views.status(), "read the persons");
  }
  for (size_t i = 0; i < unknown.size(); ++i) {
    const auto& [place, group] = unknown[i];
    if (!(*views)[i][0].is_nil()) {
      continue;  // Its own list was looked at.
    }
    const ThreeViews three{group->id, group->members[place], std::nullopt, std::nullopt};
    if (std::optional<Found> missing = CompareViews(three, group->seen, groups_, layout_)) {
      missing->person = place;
      missing->finding.set_person(persons[place]->id.value());
      found.push_back(*std::move(missing));
    }
  }
  co_return found;
}

}  // namespace klatch
