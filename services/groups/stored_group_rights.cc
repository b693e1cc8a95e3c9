#include "services/groups/stored_group_rights.h"

#include <utility>

#include "services/accept/when_all.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

bool MayPost(Role role, const GroupFields& group) {
  return role >= Role::kMember && role >= group.post_role && !group.closed;
}

bool Moderates(Role role, const GroupFields&) { return role >= Role::kModerator; }

}  // namespace

base::Task<void> StoredGroupRights::Ask(PersonId person, GroupId group, Suffices suffices,
                                        absl::StatusOr<bool>& answer) {
  auto reading_stay = reader_.ReadStay(group, std::move(person));
  const absl::StatusOr<Stay> stay = co_await std::move(reading_stay);
  if (!stay.ok() || stay->role == Role::kNone) {
    answer = stay.ok() ? absl::StatusOr<bool>(false) : stay.status();
    co_return;
  }
  auto reading_group = reader_.ReadGroup(std::move(group));
  const absl::StatusOr<StoredGroup> stored = co_await std::move(reading_group);
  if (absl::IsNotFound(stored.status())) {
    answer = false;
  } else if (!stored.ok()) {
    answer = stored.status();
  } else {
    answer = stored->state != GroupState::kDeleted && suffices(stay->role, stored->fields);
  }
}

base::Task<absl::StatusOr<std::vector<GroupId>>> StoredGroupRights::Where(
    PersonId person, std::vector<GroupId> groups, Suffices suffices) {
  std::vector<absl::StatusOr<bool>> answers(groups.size());
  std::vector<base::Task<void>> asking;
  for (size_t i = 0; i < groups.size(); ++i) {
    asking.push_back(Ask(person, groups[i], suffices, answers[i]));
  }
  auto all = WhenAll(std::move(asking));
  co_await std::move(all);
  std::vector<GroupId> found;
  for (size_t i = 0; i < groups.size(); ++i) {
    if (!answers[i].ok()) {
      co_return answers[i].status();
    }
    if (*answers[i]) {
      found.push_back(std::move(groups[i]));
    }
  }
  co_return found;
}

base::Task<absl::StatusOr<std::vector<GroupId>>> StoredGroupRights::AllWherePosts(PersonId person) {
  const auto stays = person_groups_.List(person, "", limits::kGroupsLookedAtMax + 1);
  if (!stays.ok()) {
    co_return stays.status();
  }
  std::vector<GroupId> groups;
  for (const GroupStay& each : *stays) {
    if (each.stay.role >= Role::kMember) {
      groups.push_back(each.group);
    }
  }
  constexpr size_t kTooMany = limits::kGroupsPerUpdateMax + 1;
  if (stays->size() > limits::kGroupsLookedAtMax) {
    // Which of them to leave out nobody could tell; the caller refuses.
    groups.resize(kTooMany);
    co_return groups;
  }
  auto asking = Where(std::move(person), std::move(groups), MayPost);
  absl::StatusOr<std::vector<GroupId>> found = co_await std::move(asking);
  if (found.ok() && found->size() > kTooMany) {
    found->resize(kTooMany);
  }
  co_return found;
}

base::Task<absl::StatusOr<std::vector<GroupId>>> StoredGroupRights::WherePosts(
    PersonId person, std::vector<GroupId> groups) {
  return Where(std::move(person), std::move(groups), MayPost);
}

base::Task<absl::StatusOr<std::vector<GroupId>>> StoredGroupRights::WhereModerates(
    PersonId person, std::vector<GroupId> groups) {
  return Where(std::move(person), std::move(groups), Moderates);
}

}  // namespace klatch
