// Thousands of random calls, held against a small model of what they should do; and many callers at
// once, whose positions must be unique and ascending.

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <iostream>
#include <random>
#include <set>
#include <thread>

#include "services/log/group_store.h"
#include "tests/integration/log_fixture.h"

namespace klatch::testing {
namespace {

using absl::StatusCode;

constexpr int kOperations = 5000;
constexpr int kGroups = 6;
constexpr int kPersons = 8;

struct ModelGroup {
  bool exists = false;
  bool deleted = false;
  std::map<std::string, Role> members;
  std::map<uint64_t, std::string> updates;  // id → author

  int owners() const {
    return static_cast<int>(std::count_if(members.begin(), members.end(), [](const auto& member) {
      return member.second == Role::kOwner;
    }));
  }
  Role RoleOf(const std::string& person) const {
    auto found = members.find(person);
    return found == members.end() ? Role::kNone : found->second;
  }
};

class LogModelRedisTest : public LogRedisTest {
 protected:
  uint64_t Random(uint64_t below) { return random_() % below; }
  std::string Person() { return fmt::format("p{}", Random(kPersons)); }
  // Half of the time somebody who is a member, so that many calls succeed.
  std::string Actor(const ModelGroup& group) {
    if (group.members.empty() || Random(2) == 0) {
      return Person();
    }
    const uint64_t index = Random(group.members.size());
    return std::next(group.members.begin(), static_cast<int>(index))->first;
  }
  Role AnyRole() { return static_cast<Role>(1 + Random(4)); }
  std::string Request() { return fmt::format("request {}", next_request_++); }

  // Each does one call and returns the code that the model expects, having changed the model.
  StatusCode Create(const std::string& id, ModelGroup& group, StatusCode& got) {
    const std::string actor = Person();
    CreateGroupCommand command = NewGroup(actor.c_str(), id.c_str());
    command.request_id = Request();
    got = Await(appender_->CreateGroup(command)).status().code();
    if (group.exists) {
      return StatusCode::kAlreadyExists;
    }
    group.exists = true;
    group.members[actor] = Role::kOwner;
    return StatusCode::kOk;
  }

  StatusCode DeleteWhole(const std::string& id, ModelGroup& group, StatusCode& got) {
    const std::string actor = Actor(group);
    got = Await(appender_->DeleteGroup(PersonId(actor), GroupId(id))).status().code();
    if (!group.exists) {
      return StatusCode::kNotFound;
    }
    if (group.deleted) {
      return StatusCode::kOk;
    }
    if (group.RoleOf(actor) != Role::kOwner) {
      return StatusCode::kPermissionDenied;
    }
    group.deleted = true;
    group.members.clear();
    return StatusCode::kOk;
  }

  StatusCode Publishing(const std::string& id, ModelGroup& group, StatusCode& got) {
    const std::string actor = Actor(group);
    auto published = Publish(Post(actor.c_str(), id.c_str(), Request()));
    got = published.status().code();
    if (published.ok()) {
      group.updates[published->position.value()] = actor;
    }
    if (!group.exists || group.deleted) {
      return StatusCode::kNotFound;
    }
    return group.RoleOf(actor) >= Role::kMember ? StatusCode::kOk : StatusCode::kPermissionDenied;
  }

  StatusCode DeleteOne(const std::string& id, ModelGroup& group, StatusCode& got) {
    if (group.updates.empty()) {
      return got;
    }
    auto update = std::next(group.updates.begin(), static_cast<int>(Random(group.updates.size())));
    const std::string actor = Random(2) == 0 ? update->second : Person();
    got = Await(appender_->Delete({PersonId(actor), UpdateId(update->first), GroupId(id),
                                   PersonId(update->second)}))
              .status()
              .code();
    if (actor != update->second && group.RoleOf(actor) < Role::kModerator) {
      return StatusCode::kPermissionDenied;
    }
    group.updates.erase(update);
    return StatusCode::kOk;
  }

  StatusCode Adding(const std::string& id, ModelGroup& group, StatusCode& got) {
    const std::string actor = Actor(group);
    std::map<std::string, Role> persons;
    for (uint64_t n = 1 + Random(3); n > 0; --n) {
      persons[Person()] = AnyRole();
    }
    auto added = Add(actor.c_str(), id.c_str(), {persons.begin(), persons.end()}, Request());
    got = added.status().code();
    if (!group.exists || group.deleted) {
      return StatusCode::kNotFound;
    }
    const Role role = group.RoleOf(actor);
    const bool too_high =
        role != Role::kOwner && std::any_of(persons.begin(), persons.end(),
                                            [role](const auto& p) { return p.second >= role; });
    if (role < Role::kModerator || too_high) {
      return StatusCode::kPermissionDenied;
    }
    uint32_t changed = 0;
    for (const auto& person : persons) {
      changed += group.members.insert(person).second ? 1 : 0;
    }
    EXPECT_EQ(added.ok() ? added->changed : 0, changed);
    return StatusCode::kOk;
  }

  StatusCode Removing(const std::string& id, ModelGroup& group, StatusCode& got) {
    const std::string actor = Actor(group);
    std::set<std::string> persons;
    for (uint64_t n = 1 + Random(3); n > 0; --n) {
      persons.insert(Random(3) == 0 ? actor : Person());
    }
    got = Remove(actor.c_str(), id.c_str(), {persons.begin(), persons.end()}, Request())
              .status()
              .code();
    if (!group.exists || group.deleted) {
      return StatusCode::kNotFound;
    }
    const Role role = group.RoleOf(actor);
    const bool oneself = persons == std::set<std::string>{actor};
    if (!oneself && role < Role::kModerator) {
      return StatusCode::kPermissionDenied;
    }
    ModelGroup after = group;
    for (const std::string& person : persons) {
      if (!oneself && role != Role::kOwner && group.RoleOf(person) >= role) {
        return StatusCode::kPermissionDenied;
      }
      after.members.erase(person);
    }
    if (after.owners() == 0) {
      return StatusCode::kFailedPrecondition;
    }
    group = after;
    return StatusCode::kOk;
  }

  StatusCode ChangingRole(const std::string& id, ModelGroup& group, StatusCode& got) {
    const std::string actor = Actor(group);
    const std::string person = Person();
    const Role role = AnyRole();
    got = SetRole(actor.c_str(), id.c_str(), person.c_str(), role).status().code();
    if (!group.exists || group.deleted) {
      return StatusCode::kNotFound;
    }
    if (group.RoleOf(actor) != Role::kOwner) {
      return StatusCode::kPermissionDenied;
    }
    if (group.RoleOf(person) == Role::kNone) {
      return StatusCode::kNotFound;
    }
    ModelGroup after = group;
    after.members[person] = role;
    if (after.owners() == 0) {
      return StatusCode::kFailedPrecondition;
    }
    group = after;
    return StatusCode::kOk;
  }

  StatusCode RunOne(const std::string& id, ModelGroup& group, StatusCode& got) {
    const uint64_t kind = Random(100);
    if (kind < 5) {
      return Create(id, group, got);
    }
    if (kind == 5 && Random(3) == 0) {
      return DeleteWhole(id, group, got);
    }
    if (kind < 40) {
      return Publishing(id, group, got);
    }
    if (kind < 50) {
      return DeleteOne(id, group, got);
    }
    if (kind < 75) {
      return Adding(id, group, got);
    }
    return kind < 90 ? Removing(id, group, got) : ChangingRole(id, group, got);
  }

  void CompareGroup(const std::string& id, const ModelGroup& group) {
    GroupStore store(*pipeline_, layout_);
    auto stored = Await(store.ReadGroup(GroupId(id)));
    ASSERT_EQ(stored.ok(), group.exists) << stored.status();
    if (!group.exists) {
      return;
    }
    EXPECT_EQ(stored->state == GroupState::kDeleted, group.deleted) << id;
    EXPECT_EQ(stored->member_count, group.members.size()) << id;
    EXPECT_EQ(stored->owner_count, static_cast<uint64_t>(group.owners())) << id;
    auto scan = Await(store.ScanMembers(GroupId(id), 0, 1000));
    ASSERT_THAT(scan, IsOk());
    std::map<std::string, Role> members;
    for (const StoredMember& member : scan->members) {
      members[member.person.value()] = member.stay.role;
    }
    EXPECT_EQ(members, group.members) << id;
    for (const auto& [update, author] : group.updates) {
      EXPECT_EQ(Redis({"EXISTS", keys_.Update(UpdateId(update))}).integer(), 1);
    }
  }

  // What a follower of the log would know of a group's members and updates.
  std::map<std::string, ModelGroup> Replay() {
    std::map<std::string, ModelGroup> groups;
    for (const LogEntry& entry : AllRecords()) {
      ModelGroup& group = groups[entry.record.group()];
      Apply(entry, group);
    }
    return groups;
  }

  static void Apply(const LogEntry& entry, ModelGroup& group) {
    const klatch::v1::LogRecord& record = entry.record;
    if (record.has_group_created()) {
      group.exists = true;
      group.members[record.actor()] = Role::kOwner;
    } else if (record.has_group_deleted()) {
      group.deleted = true;
      group.members.clear();
    } else if (record.has_published()) {
      group.updates[entry.position.value()] = record.actor();
    } else if (record.has_deleted()) {
      group.updates.erase(record.deleted().update_id());
    }
    for (const auto& joined : record.members_changed().joined()) {
      group.members[joined.person()] = static_cast<Role>(joined.role());
    }
    for (const auto& changed : record.members_changed().role_changed()) {
      group.members[changed.person()] = static_cast<Role>(changed.role());
    }
    for (const std::string& left : record.members_changed().left()) {
      group.members.erase(left);
    }
  }

  std::mt19937_64 random_;
  int next_request_ = 0;
};

TEST_F(LogModelRedisTest, RandomCallsAgreeWithTheModelInRedisAndInTheLog) {
  const uint64_t seed = std::random_device()();
  std::cout << "seed " << seed << "\n";
  random_.seed(seed);
  std::map<std::string, ModelGroup> model;
  int succeeded = 0;
  for (int i = 0; i < kOperations; ++i) {
    const std::string id = fmt::format("s{}", Random(kGroups));
    StatusCode got = StatusCode::kOk;
    const StatusCode expected = RunOne(id, model[id], got);
    ASSERT_EQ(got, expected) << "operation " << i << " on " << id;
    succeeded += got == StatusCode::kOk ? 1 : 0;
  }
  std::cout << succeeded << " of " << kOperations << " succeeded\n";
  for (const auto& [id, group] : model) {
    CompareGroup(id, group);
  }
  const auto replayed = Replay();
  for (const auto& [id, group] : model) {
    auto found = replayed.find(id);
    ASSERT_EQ(found != replayed.end(), group.exists) << id;
    if (group.exists) {
      EXPECT_EQ(found->second.members, group.members) << id;
      EXPECT_EQ(found->second.updates, group.updates) << id;
      EXPECT_EQ(found->second.deleted, group.deleted) << id;
    }
  }
}

TEST_F(LogModelRedisTest, IdsAreUniqueAndAscendPerCallerOverTwoPipelines) {
  constexpr int kCallers = 4;
  constexpr int kBatches = 100;
  MakeGroup("ann", "hiking");
  redis::SocketPipeline second(server_.address(), redis::Pipeline::Options());
  while (!second.connected()) {
    std::this_thread::yield();
  }
  RedisAppender other(second, layout_, log_clock_, RedisAppender::Options());
  std::vector<std::vector<Position>> positions(kCallers);
  std::atomic<int> failures{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&, caller] {
      RedisAppender& appender = caller % 2 == 0 ? *appender_ : other;
      for (int batch = 0; batch < kBatches; ++batch) {
        std::vector<PublishCommand> commands;
        for (int i = 0; i < 10; ++i) {
          commands.push_back(Post("ann", "hiking", fmt::format("{} {} {}", caller, batch, i)));
        }
        for (const auto& result : Await(appender.Publish(std::move(commands)))) {
          if (result.ok()) {
            positions[caller].push_back(result->position);
          } else {
            failures.fetch_add(1, std::memory_order_relaxed);  // a counter, read after join
          }
        }
      }
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
  EXPECT_EQ(failures.load(std::memory_order_relaxed), 0);
  std::set<Position> unique;
  for (const auto& of_caller : positions) {
    EXPECT_TRUE(std::is_sorted(of_caller.begin(), of_caller.end()));
    unique.insert(of_caller.begin(), of_caller.end());
  }
  EXPECT_EQ(unique.size(), static_cast<size_t>(kCallers * kBatches * 10));
  EXPECT_EQ(Records("hiking").size(), unique.size() + 1);
}

}  // namespace
}  // namespace klatch::testing
