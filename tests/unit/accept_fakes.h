#pragma once
// What the unit tests of accept and groups put in the place of the log and the node.
//
// Thread safety: the fakes are set up before a call and looked at after it.

#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/executor.h"
#include "common/base/task.h"
#include "services/accept/admission.h"
#include "services/accept/barrier.h"
#include "services/accept/group_rights.h"
#include "services/accept/stored_facts.h"
#include "services/accept/update_reader.h"
#include "services/log/appender.h"
#include "services/model/layout.h"

namespace klatch::testing {

// Runs a task from a test's thread and waits for what it yields.
template <typename T>
T Await(base::Task<T> task) {
  std::promise<T> promise;
  std::future<T> future = promise.get_future();
  auto run = [](base::Task<T> inner, std::promise<T>* out) -> base::Task<void> {
    T value = co_await std::move(inner);
    out->set_value(std::move(value));
  };
  base::Spawn(run(std::move(task), &promise));
  return future.get();
}

class FakeClock final : public base::Clock {
 public:
  base::MonotonicTime Monotonic() const override { return monotonic; }
  base::WallTime Wall() const override { return wall; }

  base::MonotonicTime monotonic{std::chrono::hours(1)};
  base::WallTime wall{std::chrono::hours(24 * 365 * 55)};
};

// Notes what it is asked to append and answers with positions that rise, or with what the test has
// put into `failures`, one for each call.
class FakeAppender final : public Appender {
 public:
  explicit FakeAppender(Layout layout) : layout_(std::move(layout)) {}

  base::Task<std::vector<absl::StatusOr<Appended>>> Publish(
      std::vector<PublishCommand> commands) override {
    ++publish_calls;
    std::vector<absl::StatusOr<Appended>> results;
    for (PublishCommand& command : commands) {
      absl::StatusOr<Appended> result = Append(layout_.ShardOf(command.group));
      if (result.ok()) {
        result->audience = audience;
        result->replayed = replayed;
      }
      results.push_back(std::move(result));
      published.push_back(std::move(command));
    }
    co_return results;
  }
  base::Task<std::vector<absl::StatusOr<Appended>>> Import(
      std::vector<PublishCommand> commands) override {
    const size_t before = published.size();
    auto publishing = Publish(std::move(commands));
    std::vector<absl::StatusOr<Appended>> results = co_await std::move(publishing);
    imported.insert(imported.end(), published.begin() + static_cast<ptrdiff_t>(before),
                    published.end());
    published.resize(before);
    co_return results;
  }
  base::Task<absl::StatusOr<Appended>> Edit(EditCommand command) override {
    const ShardIndex shard = command.update.shard();
    edits.push_back(std::move(command));
    co_return Append(shard);
  }
  base::Task<absl::StatusOr<Appended>> Delete(DeleteCommand command) override {
    const ShardIndex shard = command.update.shard();
    deletes.push_back(std::move(command));
    co_return Append(shard);
  }
  base::Task<absl::StatusOr<Appended>> CreateGroup(CreateGroupCommand command) override {
    const ShardIndex shard = layout_.ShardOf(command.group.id);
    created.push_back(std::move(command));
    co_return Append(shard);
  }
  base::Task<absl::StatusOr<GroupUpdated>> UpdateGroup(UpdateGroupCommand command) override {
    const absl::StatusOr<Appended> appended = Append(layout_.ShardOf(command.group));
    updated.push_back(std::move(command));
    if (!appended.ok()) {
      co_return appended.status();
    }
    GroupUpdated result;
    result.position = appended->position;
    result.group.fields.id = updated.back().group;
    result.group.fields.display_name = updated.back().display_name.value_or("");
    result.group.fields.description = updated.back().description.value_or("");
    result.group.member_count = 3;
    co_return result;
  }
  base::Task<absl::StatusOr<Appended>> DeleteGroup(PersonId, GroupId group) override {
    co_return Append(layout_.ShardOf(group));
  }
  base::Task<absl::StatusOr<MembersAppended>> AddMembers(AddMembersCommand command) override {
    const size_t persons = command.members.size();
    const ShardIndex shard = layout_.ShardOf(command.group);
    added.push_back(std::move(command));
    co_return AppendMembers(shard, persons);
  }
  base::Task<absl::StatusOr<MembersAppended>> RemoveMembers(RemoveMembersCommand command) override {
    const size_t persons = command.persons.size();
    const ShardIndex shard = layout_.ShardOf(command.group);
    removed.push_back(std::move(command));
    co_return AppendMembers(shard, persons);
  }
  base::Task<absl::StatusOr<MemberUpdated>> UpdateMember(PersonId, GroupId group,
                                                         PersonRole member) override {
    role_changes.push_back(member);
    const absl::StatusOr<Appended> appended = Append(layout_.ShardOf(group));
    if (!appended.ok()) {
      co_return appended.status();
    }
    co_return MemberUpdated{appended->position, false, Stay{member.role, Position(5), Position(5)}};
  }
  base::Task<absl::StatusOr<Appended>> BeginSync(MembersList list) override {
    const ShardIndex shard = layout_.ShardOf(list.group);
    syncs.push_back(std::move(list));
    co_return Append(shard);
  }
  base::Task<absl::StatusOr<MembersSynced>> SyncMembers(MembersList list,
                                                        std::vector<PersonRole> members) override {
    const absl::StatusOr<Appended> appended = Append(layout_.ShardOf(list.group));
    synced.push_back(members);
    if (!appended.ok()) {
      co_return appended.status();
    }
    MembersSynced result{appended->position, {}};
    for (const PersonRole& member : members) {
      result.outcomes.push_back(nobody_changes                  ? MemberOutcome::kNothing
                                : member.role == Role::kNone    ? MemberOutcome::kLeft
                                : stays.contains(member.person) ? MemberOutcome::kRoleChanged
                                                                : MemberOutcome::kJoined);
    }
    co_return result;
  }
  base::Task<absl::StatusOr<DeliveryDecided>> DecideDelivery(GroupId group,
                                                             PullThresholds) override {
    co_return DeliveryDecided{Position(1, layout_.ShardOf(group), 0), false, Delivery::kCopied};
  }
  base::Task<absl::StatusOr<Appended>> Tick(ShardIndex shard) override { co_return Append(shard); }
  base::Task<absl::StatusOr<PublishedSeveral>> PublishSeveral(
      PublishSeveralCommand command) override {
    const absl::StatusOr<Appended> appended = Append(layout_.HomeShardOf(command.actor));
    posted_to_several.push_back(std::move(command));
    if (!appended.ok()) {
      co_return appended.status();
    }
    co_return PublishedSeveral{replayed ? earlier_several.id : appended->position, replayed,
                               replayed ? earlier_several.stored : std::nullopt};
  }
  base::Task<absl::StatusOr<Carry>> CarryTo(CarryCommand command) override {
    const ShardIndex shard = layout_.ShardOf(command.group);
    const auto refusal = refusals.find(command.group.value());
    carries.push_back(std::move(command));
    const absl::StatusOr<Appended> appended = Append(shard);
    if (!appended.ok()) {
      co_return appended.status();
    }
    if (refusal != refusals.end()) {
      co_return Carry{Position(), AudienceRule::kGroupDefault, refusal->second};
    }
    co_return Carry{appended->position, audience, CarryRefusal::kNone};
  }
  base::Task<absl::StatusOr<Settled>> Settle(SettleCommand command) override {
    const absl::StatusOr<Appended> appended = Append(command.update.shard());
    settled.push_back(std::move(command));
    if (!appended.ok()) {
      co_return appended.status();
    }
    co_return Settled{appended->position, 0};
  }
  base::Task<absl::Status> AwaitSettling(UpdateId update) override {
    awaited.push_back(update);
    co_return absl::OkStatus();
  }
  base::Task<absl::StatusOr<std::vector<PendingPost>>> TakePending(ShardIndex,
                                                                   std::chrono::milliseconds,
                                                                   size_t) override {
    co_return std::vector<PendingPost>();
  }
  base::Task<absl::StatusOr<Appended>> EditSeveral(EditSeveralCommand command) override {
    const ShardIndex shard = command.update.shard();
    edits_of_several.push_back(std::move(command));
    co_return Append(shard);
  }
  base::Task<absl::StatusOr<Appended>> DeleteSeveral(PersonId, UpdateId update,
                                                     std::vector<GroupId>) override {
    deleted_of_several.push_back(update);
    co_return Append(update.shard());
  }
  base::Task<absl::StatusOr<Appended>> RemoveUpdate(PersonId, GroupId group, UpdateId) override {
    removed_from.push_back(group);
    absl::StatusOr<Appended> appended = Append(layout_.ShardOf(group));
    if (appended.ok()) {
      appended->replayed = replayed;
    }
    co_return appended;
  }
  std::chrono::nanoseconds OldestAge() const override { return oldest_age; }
  std::chrono::nanoseconds ExpectedWait() const override { return expected_wait; }

  size_t publish_calls = 0;
  std::vector<PublishCommand> published;
  std::vector<PublishCommand> imported;
  std::vector<MembersList> syncs;
  std::vector<std::vector<PersonRole>> synced;
  std::set<PersonId> stays;  // who is a member when a list of members comes
  std::vector<EditCommand> edits;
  std::vector<DeleteCommand> deletes;
  std::vector<CreateGroupCommand> created;
  std::vector<UpdateGroupCommand> updated;
  std::vector<AddMembersCommand> added;
  std::vector<RemoveMembersCommand> removed;
  std::vector<PersonRole> role_changes;
  std::vector<PublishSeveralCommand> posted_to_several;
  std::vector<CarryCommand> carries;
  std::vector<SettleCommand> settled;
  std::vector<UpdateId> awaited;
  std::vector<EditSeveralCommand> edits_of_several;
  std::vector<UpdateId> deleted_of_several;
  std::vector<GroupId> removed_from;
  // Groups that refuse what is carried to them; what a replay finds.
  std::map<std::string, CarryRefusal> refusals;
  PublishedSeveral earlier_several;
  // By the number of the append, from 0.
  std::map<size_t, absl::Status> failures;
  std::function<void()> on_append;
  AudienceRule audience = AudienceRule::kMembersAtPosting;
  bool replayed = false;
  bool nobody_changes = false;
  Position last;
  std::chrono::nanoseconds oldest_age{0};
  std::chrono::nanoseconds expected_wait{0};

 private:
  absl::StatusOr<Appended> Append(ShardIndex shard) {
    if (on_append) {
      on_append();
    }
    const auto failure = failures.find(appends_++);
    if (failure != failures.end()) {
      return failure->second;
    }
    last = Position(1000 + appends_, shard, 0);
    Appended appended;
    appended.position = last;
    return appended;
  }
  absl::StatusOr<MembersAppended> AppendMembers(ShardIndex shard, size_t persons) {
    KLATCH_ASSIGN_OR_RETURN(const Appended appended, Append(shard));
    MembersAppended members;
    members.position = appended.position;
    (nobody_changes ? members.unchanged : members.changed) = static_cast<uint32_t>(persons);
    return members;
  }

  const Layout layout_;
  size_t appends_ = 0;
};

// Roles that the test has put there, by group and person; members may post.
class FakeRights final : public GroupRights {
 public:
  base::Task<absl::StatusOr<std::vector<GroupId>>> AllWherePosts(PersonId person) override {
    std::vector<GroupId> groups;
    for (const auto& [key, role] : roles) {
      if (key.second == person.value() && role >= Role::kMember) {
        groups.emplace_back(key.first);
      }
    }
    co_return groups;
  }
  base::Task<absl::StatusOr<std::vector<GroupId>>> WherePosts(
      PersonId person, std::vector<GroupId> groups) override {
    co_return Where(person, std::move(groups), Role::kMember);
  }
  base::Task<absl::StatusOr<std::vector<GroupId>>> WhereModerates(
      PersonId person, std::vector<GroupId> groups) override {
    co_return Where(person, std::move(groups), Role::kModerator);
  }

  std::map<std::pair<std::string, std::string>, Role> roles;

 private:
  std::vector<GroupId> Where(const PersonId& person, std::vector<GroupId> groups, Role lowest) {
    std::erase_if(groups, [&](const GroupId& group) {
      const auto found = roles.find({group.value(), person.value()});
      return found == roles.end() || found->second < lowest;
    });
    return groups;
  }
};

// Notes what is waited for, in the log and at watches.
class FakeBarrier final : public Barrier {
 public:
  base::Task<absl::Status> WaitApplied(std::vector<Token> tokens, base::MonotonicTime) override {
    for (const Token& token : tokens) {
      waited.push_back(token.position);
    }
    co_return outcome;
  }
  base::Task<void> WaitWatches() override {
    // What watches still show is known only once the change is applied.
    waited_before_watches = waited.size();
    ++watch_waits;
    co_return;
  }

  std::vector<Position> waited;
  absl::Status outcome;
  // How often it was waited for watches, and how much had been waited for by then.
  size_t watch_waits = 0;
  size_t waited_before_watches = 0;
};

class FakePressure final : public Pressure {
 public:
  std::chrono::milliseconds OldestUnflushedAge() const override { return unflushed_age; }
  bool TimelinesTight() const override { return tight; }

  std::chrono::milliseconds unflushed_age{0};
  bool tight = false;
};

// Bodies and roles that the test has put there; members of a body's group see it.
class FakeFacts final : public StoredFacts, public UpdateReader {
 public:
  base::Task<absl::StatusOr<std::shared_ptr<const Body>>> ReadBody(UpdateId update) override {
    const auto found = bodies.find(update);
    co_return found == bodies.end() ? nullptr : found->second;
  }
  base::Task<absl::StatusOr<Position>> ReadLogEnd(ShardIndex shard) override {
    co_return Position(log_end_ms, shard, 0);
  }
  base::Task<absl::StatusOr<std::shared_ptr<const Body>>> FindVisible(
      PersonId viewer, UpdateId update, base::MonotonicTime) override {
    if (on_find) {
      on_find();
    }
    if (answers_on != nullptr) {
      co_await answers_on->Schedule();
      answers_after.wait();
    }
    if (!unreadable.ok()) {
      co_return unreadable;
    }
    const auto found = bodies.find(update);
    const bool member = found != bodies.end() &&
                        roles.contains({found->second->header().group.value(), viewer.value()});
    if (!member) {
      co_return base::FieldError(absl::StatusCode::kNotFound, "update_id", "is no update");
    }
    co_return found->second;
  }

  std::map<UpdateId, std::shared_ptr<const Body>> bodies;
  std::map<std::pair<std::string, std::string>, Role> roles;
  uint64_t log_end_ms = 900;
  // What FindVisible does first; where and when it goes on; what it answers instead of an update.
  std::function<void()> on_find;
  base::Executor* answers_on = nullptr;
  std::shared_future<void> answers_after;
  absl::Status unreadable;
};

}  // namespace klatch::testing
