#pragma once
// The groups of a person as this node, their owner, has applied them.
//
// Thread safety: any thread. Lifetime: refers to what it is made of.
// Errors: UNAVAILABLE with reason NOT_OWNER if this node may not answer for the person now.

#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "services/model/layout.h"
#include "services/model/membership.h"
#include "services/persons/group_directory.h"
#include "services/persons/ownership.h"
#include "services/persons/people.h"

namespace klatch {

struct GroupStay {
  GroupId group;
  Stay stay;
};

class PersonGroups {
 public:
  virtual ~PersonGroups() = default;

  // The person's groups, ordered by id, whose ids follow `after`; at most `count`.
  virtual absl::StatusOr<std::vector<GroupStay>> List(const PersonId& person,
                                                      std::string_view after,
                                                      size_t count) const = 0;
};

// Reads the membership lists that the workers publish.
class AppliedPersonGroups final : public PersonGroups {
 public:
  AppliedPersonGroups(const Layout& layout, People& people, const GroupDirectory& directory,
                      const Ownership& ownership, const base::Clock& clock)
      : layout_(layout),
        people_(people),
        directory_(directory),
        ownership_(ownership),
        clock_(clock) {}

  absl::StatusOr<std::vector<GroupStay>> List(const PersonId& person, std::string_view after,
                                              size_t count) const override;

 private:
  const Layout layout_;
  People& people_;
  const GroupDirectory& directory_;
  const Ownership& ownership_;
  const base::Clock& clock_;
};

}  // namespace klatch
