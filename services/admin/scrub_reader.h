#pragma once
// Reads what a scrub compares: in each step everything of many persons in few round trips.
//
// Thread safety: any thread; tasks continue on the executor: comparing takes longer than the
// pipeline's thread has.
// Lifetime: what it is made of outlives every task.
// Bounds: its caller's, on persons and groups; of each group one feed of limits::kStoredSlotsMax ids.
// Errors: those of the pipeline and of Redis, but for keys that hold another type: these are found.

#include <string>
#include <vector>

#include "common/base/executor.h"
#include "common/base/status.h"
#include "common/base/task.h"
#include "common/redis/pipeline.h"
#include "services/admin/scrub_compare.h"
#include "services/model/keys.h"
#include "services/model/layout.h"
#include "services/persons/group_directory.h"
#include "services/persons/people.h"

namespace klatch {

class ScrubReader {
 public:
  ScrubReader(redis::Pipeline& pipeline, const Layout& layout, People& people,
              const GroupDirectory& groups, base::Executor& executor);

  struct UnknownMember {
    PersonId person;
    GroupId group;

    auto operator<=>(const UnknownMember&) const = default;
  };
  struct MembersLook {
    std::vector<UnknownMember> unknown;  // sorted, each once
    std::vector<Found> unreadable;
    uint64_t members = 0;
  };

  // What is wrong with the groups that the persons' own lists have, in memory or stored, and with
  // their home timelines. `written` is how far everything is applied and written.
  base::Task<absl::StatusOr<std::vector<Found>>> LookAtLists(std::vector<const Person*> persons,
                                                             std::vector<Position> written);
  // The members of these groups of whom neither memory nor, therefore, anybody's page knows; and what of
  // them can't be read. Any number of members.
  base::Task<absl::StatusOr<MembersLook>> LookAtMembers(std::vector<GroupId> groups);
  // Those of `groups` that have a person as a member of whom neither list knows.
  base::Task<absl::StatusOr<std::vector<Found>>> LookAtGroups(std::vector<const Person*> persons,
                                                              std::vector<GroupId> groups);

 private:
  struct Lists;   // what is stored of the persons
  struct Groups;  // what is stored of groups
  using Commands = std::vector<redis::Command>;

  base::Task<absl::StatusOr<Lists>> ReadLists(std::vector<const Person*> persons);
  base::Task<absl::StatusOr<Groups>> ReadGroups(std::vector<const Person*> persons,
                                                std::vector<GroupId> groups, bool feeds);
  std::vector<Membership> MembershipsOf(const Person& person) const;
  std::vector<Found> UnreadableKeys(const Groups& groups) const;
  // Adds what is wrong with one person.
  void Compare(size_t place, const Person& person, const Lists& lists, const Groups& groups,
               const std::vector<Position>& written, std::vector<Found>& found) const;
  bool IsUnknown(const PersonId& person, const GroupId& group) const;
  void CompareCopies(size_t place, const Person& person, const std::vector<uint64_t>& stored,
                     const std::vector<DueFeed>& feeds, const std::vector<Position>& written,
                     std::vector<Found>& found) const;

  redis::Pipeline& pipeline_;
  const Layout layout_;
  const Keys keys_;
  People& people_;
  const GroupDirectory& groups_;
  base::Executor& executor_;
};

}  // namespace klatch
