// What must hold of a world that has settled: the logs are the truth; bodies, members, views and timelines
// follow from them; and what was acknowledged is in them.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "klatch/v1/log_record.pb.h"
#include "services/materialize/stored_ring.h"
#include "services/model/body.h"
#include "services/model/membership.h"
#include "services/model/past.h"
#include "tests/sim/world.h"

namespace klatch::sim {
namespace {

// Of a world that lives.
constexpr uint64_t kAcknowledgedMin = 30;

template <typename T>
const T* Find(const Data& data, const std::string& key) {
  const auto found = data.find(key);
  return found == data.end() ? nullptr : std::get_if<T>(&found->second.value);
}

}  // namespace

struct World::Log {
  // In a group that has it.
  struct Place {
    std::string group;
    Position position;
  };
  struct Update {
    std::vector<Place> places;
    bool is_of_several = false;
    bool is_homed = false;  // of several: its own record is there
  };

  std::map<uint64_t, Update> updates;  // by id
  std::set<uint64_t> deleted;
  std::set<uint64_t> changes;  // of members, by position
  // By group, by person: the stay as it is at the end.
  std::map<std::string, std::map<std::string, Stay>> members;
  // By person: what was posted while they were a member, and they are still the same member; or before, where
  // that was open to them when they joined.
  std::map<std::string, std::set<uint64_t>> due;
  // Of the past of who joined: what a group took so long after its id that nobody looks for it there
  // (model/past.h). It may be in a timeline or not.
  std::map<std::string, std::set<uint64_t>> perhaps;
  // The same as `due` of each group, from which that is put together.
  std::map<std::string, std::map<std::string, std::set<uint64_t>>> due_in;

  void Put(uint64_t id, const std::string& group, Position position) {
    updates[id].places.push_back({group, position});
    for (const auto& [person, stay] : members[group]) {
      if (stay.role != Role::kNone) {
        due_in[group][person].insert(id);
      }
    }
  }
};

World::Log World::ReadLogs() {
  Log log;
  for (uint32_t i = 0; i < layout_.shard_count; ++i) {
    const ShardIndex shard(i);
    std::map<StreamId, Stream::Fields> entries;
    for (const std::string& key : {keys_.Log(shard), SimRedis::ArchiveOf(keys_.Log(shard))}) {
      const Stream* stream = Find<Stream>(redis_.fake().data(), key);
      if (stream != nullptr) {
        entries.insert(stream->entries.begin(), stream->entries.end());
      }
    }
    for (const auto& [id, fields] : entries) {
      const auto position = Position::FromStreamId(id.ToString(), shard);
      klatch::v1::LogRecord record;
      if (!position || fields.size() != 2 || !record.ParseFromString(fields[1])) {
        Violate(fmt::format("log {} holds at {} what is no record", i, id.ToString()));
        continue;
      }
      auto& members = log.members[record.group()];
      if (record.has_published()) {
        log.Put(position->value(), record.group(), *position);
      } else if (record.has_homed()) {
        log.updates[position->value()].is_of_several = true;
        log.updates[position->value()].is_homed = true;
      } else if (record.has_carried()) {
        log.updates[record.carried().update_id()].is_of_several = true;
        log.Put(record.carried().update_id(), record.group(), *position);
      } else if (record.has_deleted()) {
        log.deleted.insert(record.deleted().update_id());
      } else if (record.has_group_created()) {
        members[record.actor()] = {Role::kOwner, *position, *position};
      } else if (record.has_members_changed()) {
        log.changes.insert(position->value());
        for (const auto& joined : record.members_changed().joined()) {
          const Position visible_from = record.members_changed().has_visible_from()
                                            ? Position(record.members_changed().visible_from())
                                            : *position;
          members[joined.person()] = {static_cast<Role>(joined.role()), *position, visible_from};
          AddPast(log, record.group(), visible_from, joined.person());
        }
        for (const std::string& left : record.members_changed().left()) {
          members[left] = {};
          log.due_in[record.group()].erase(left);
        }
      }
    }
  }
  for (const auto& [group, persons] : log.due_in) {
    for (const auto& [person, ids] : persons) {
      for (const uint64_t id : ids) {
        // What the log no longer tells is looked for in the feeds.
        const bool is_found =
            !has_cut_logs_ ||
            std::ranges::all_of(log.updates.at(id).places, [&](const Log::Place& place) {
              return UpdateId(id) >= OldestIdTakenFrom(place.position);
            });
        (is_found ? log.due : log.perhaps)[person].insert(id);
      }
    }
  }
  return log;
}

void World::AddPast(Log& log, const std::string& group, Position from, const std::string& person) {
  if (terms_.at(group).audience != AudienceRule::kMembersNow) {
    return;
  }
  for (const auto& [id, update] : log.updates) {
    for (const Log::Place& place : update.places) {
      if (place.group == group && place.position >= from) {
        (UpdateId(id) >= OldestIdTakenFrom(from) ? log.due_in[group] : log.perhaps)[person].insert(
            id);
      }
    }
  }
}

void World::Check() {
  Log log = ReadLogs();
  CheckPosts(log);
  CheckSeveral(log);
  CheckChanges(log);
  CheckMembers(log);
  CheckTimelines(log);
}

// Each acknowledged post is there, once, under the id that it was answered.
void World::CheckPosts(const Log& log) {
  std::map<std::string, std::set<uint64_t>> stored;  // by text
  for (const auto& [id, update] : log.updates) {
    const std::string* bytes = Find<std::string>(redis_.fake().data(), keys_.Update(UpdateId(id)));
    const std::optional<Body> body = bytes ? Body::Decode(*bytes) : std::nullopt;
    klatch::v1::Update decoded;
    if (body && decoded.ParseFromString(std::string(body->update_bytes())) &&
        !decoded.text().empty()) {
      stored[decoded.text()].insert(id);
      if (log.deleted.contains(id)) {
        Violate(fmt::format("{} was deleted, and has its body", id));
      }
    } else if (!log.deleted.contains(id) && (!update.is_of_several || update.is_homed) &&
               !update.places.empty()) {
      Violate(fmt::format("the log has {}, and it has no body", id));
    }
  }
  for (const auto& [text, ids] : stored) {
    if (ids.size() > 1) {
      Violate(fmt::format("{} was posted {} times: {}", text, ids.size(), fmt::join(ids, ", ")));
    }
  }
  for (const auto& [key, post] : posts_) {
    if (post.ids.empty()) {
      continue;
    }
    ++verdict_.acknowledged;
    if (post.ids.size() > 1 && !promises_.may_lose()) {
      Violate(fmt::format("{} was answered {} ids", key, post.ids.size()));
    }
    const auto there = stored.find(key);
    const bool is_there = there != stored.end() && std::ranges::includes(post.ids, there->second);
    if (is_there || post.is_deleted) {
      continue;
    }
    ++verdict_.lost;
    if (!promises_.may_lose()) {
      Violate(fmt::format("{} was acknowledged and is gone", key));
    }
  }
}

// What bodies of posts to several groups say of their groups stands in these groups' logs, once; all is decided;
// and whoever was answered that all groups have it was told the truth.
void World::CheckSeveral(const Log& log) {
  for (const auto& [id, update] : log.updates) {
    const std::string* bytes = Find<std::string>(redis_.fake().data(), keys_.Update(UpdateId(id)));
    const std::optional<Body> body = bytes ? Body::Decode(*bytes) : std::nullopt;
    if (!update.is_of_several || !body) {
      continue;
    }
    std::map<std::string, Position> carried;  // as the logs have it
    for (const Log::Place& place : update.places) {
      if (!carried.emplace(place.group, place.position).second) {
        Violate(fmt::format("{} was carried to {} twice", id, place.group));
      }
    }
    for (const Target& target : body->header().targets) {
      const auto there = carried.find(target.group.value());
      if (!target.carry.is_decided()) {
        Violate(fmt::format("{} is not decided in {}", id, target.group.value()));
      } else if (there == carried.end() ? target.carry.is_carried()
                                        : there->second != target.carry.position) {
        Violate(fmt::format("{} is in {} otherwise than its log says", id, target.group.value()));
      }
    }
  }
  for (const auto& [key, post] : posts_) {
    for (const uint64_t id : post.groups.empty() ? std::set<uint64_t>() : post.ids) {
      const auto update = log.updates.find(id);
      const size_t places = update == log.updates.end() ? 0 : update->second.places.size();
      if (places != post.groups.size() && !promises_.may_lose()) {
        Violate(fmt::format("{} is in {} of its {} groups", key, places, post.groups.size()));
      }
    }
  }
}

// What was answered of members and deletions is in the logs.
void World::CheckChanges(const Log& log) {
  if (verdict_.acknowledged < kAcknowledgedMin) {
    Violate(fmt::format("only {} posts were acknowledged", verdict_.acknowledged));
  }
  for (const auto& [who, change] : changes_) {
    const bool may_lose = change.joined ? promises_.may_lose() : promises_.may_lose_removals();
    if (!may_lose && !log.changes.contains(change.position)) {
      Violate(fmt::format("{} has {} {}, as was answered, and it is gone", who.first,
                          change.joined ? "joined" : "left", who.second));
    }
  }
  for (const auto& [key, post] : posts_) {
    if (post.was_answered_deleted && !promises_.may_lose_removals() &&
        std::ranges::any_of(post.ids, [&](uint64_t id) {
          return log.updates.contains(id) && !log.deleted.contains(id);
        })) {
      Violate(fmt::format("{} was deleted, as was answered, and is there", key));
    }
  }
}

// The groups, the persons' views of them, and the node's memory say the same as the logs.
void World::CheckMembers(const Log& log) {
  const std::shared_ptr<Core> core = Serving();
  for (const auto& [group, members] : log.members) {
    if (group.empty()) {
      continue;
    }
    const Hash* stored = Find<Hash>(redis_.fake().data(), keys_.Members(GroupId(group)));
    for (const auto& [person, stay] : members) {
      std::optional<Stay> in_group;
      if (stored != nullptr && stored->contains(person)) {
        in_group = DecodeStay(stored->at(person));
      }
      const auto agrees = [&due = stay](const std::optional<Stay>& found) {
        return due.role == Role::kNone ? !found || found->role == Role::kNone : found == due;
      };
      if (!agrees(in_group)) {
        Violate(fmt::format("{} has {} otherwise than its log", group, person));
      }
      const Hash* view = Find<Hash>(redis_.fake().data(), keys_.PersonGroups(PersonId(person)));
      std::optional<Stay> in_view;
      if (view != nullptr && view->contains(group)) {
        in_view = DecodeStay(view->at(group));
      }
      if (!agrees(in_view)) {
        Violate(fmt::format("{}'s view has {} otherwise than the log", person, group));
      }
      std::optional<Stay> in_memory;
      if (const auto found = core->Find(PersonId(person))) {
        const lockfree::EpochReclaimer::Guard guard(core->epochs());
        const MembershipList* list = found->person->memberships.Load(guard);
        for (const auto& item : list ? list->items() : std::span<const klatch::Membership>()) {
          if (core->groups().At(item.group).id.value() == group) {
            in_memory = item.stay;
          }
        }
      }
      if (!agrees(in_memory)) {
        Violate(fmt::format("the node has {} in {} otherwise than the log", person, group));
      }
    }
  }
}

// Stored timelines and those in memory have all that is due, and of what is not due nothing that could be shown.
void World::CheckTimelines(Log& log) {
  const std::shared_ptr<Core> core = Serving();
  for (const auto& [person, due] : log.due) {
    const std::string* ring =
        Find<std::string>(redis_.fake().data(), keys_.Timeline(PersonId(person)));
    std::vector<uint64_t> stored = UnpackIds(ring ? *ring : std::string());
    std::ranges::sort(stored);
    std::vector<lockfree::TimelineEntry> entries;
    uint64_t floor = 0;
    if (const auto found = core->Find(PersonId(person))) {
      static_cast<void>(found->home->CopyNewest(*found->arena, entries, 800, &floor));
    }
    std::set<uint64_t> in_memory;
    for (const lockfree::TimelineEntry& entry : entries) {
      if (!in_memory.insert(entry.id).second) {
        Violate(fmt::format("{} has {} twice in memory", person, entry.id));
      }
    }
    for (const uint64_t id : due) {
      if (log.deleted.contains(id)) {
        continue;
      }
      if (!std::ranges::binary_search(stored, id)) {
        Violate(fmt::format("{}'s stored timeline lacks {}", person, id));
      }
      if (!in_memory.contains(id) && id > floor) {
        Violate(fmt::format("{}'s timeline in memory lacks {}, and its floor is {}", person, id,
                            floor));
      }
    }
    // Whatever else is there is shown to nobody: it has no body, or its group is not, or no longer, this person's.
    stored.insert(stored.end(), in_memory.begin(), in_memory.end());
    for (const uint64_t id : stored) {
      const auto update = log.updates.find(id);
      if (due.contains(id) || log.deleted.contains(id) || log.perhaps[person].contains(id)) {
        continue;
      }
      if (update == log.updates.end()) {
        if (redis_.fake().data().contains(keys_.Update(UpdateId(id)))) {
          Violate(fmt::format("{} has {}, which no log has, with a body", person, id));
        }
        continue;
      }
      for (const Log::Place& place : update->second.places) {
        const auto stay = log.members.at(place.group).find(person);
        const bool is_open = terms_.at(place.group).audience == AudienceRule::kMembersNow;
        if (stay != log.members.at(place.group).end() && stay->second.role != Role::kNone &&
            (is_open ? stay->second.visible_from : stay->second.joined) <= place.position) {
          Violate(fmt::format("{} has {} and would be shown it", person, id));
        }
      }
    }
  }
}

}  // namespace klatch::sim
