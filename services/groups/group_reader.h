#pragma once
// What group calls read of Redis: groups, stays and lists of members as they are there now.
//
// Thread safety: any thread.

#include <utility>

#include "common/base/status.h"
#include "common/base/task.h"
#include "services/log/group_store.h"
#include "services/model/ids.h"
#include "services/model/membership.h"

namespace klatch {

class GroupReader {
 public:
  virtual ~GroupReader() = default;

  // NOT_FOUND ("group") if there never was such a group; a deleted one is answered as such.
  virtual base::Task<absl::StatusOr<StoredGroup>> ReadGroup(GroupId group) = 0;
  // Role kNone if the person is not in the group.
  virtual base::Task<absl::StatusOr<Stay>> ReadStay(GroupId group, PersonId person) = 0;
  // About `count` members from `cursor` on; 0 begins.
  virtual base::Task<absl::StatusOr<MemberScan>> ScanMembers(GroupId group, uint64_t cursor,
                                                             size_t count) = 0;
};

// The one of a running node. Lifetime: refers to the store.
class RedisGroupReader final : public GroupReader {
 public:
  explicit RedisGroupReader(GroupStore& store) : store_(store) {}

  base::Task<absl::StatusOr<StoredGroup>> ReadGroup(GroupId group) override {
    return store_.ReadGroup(std::move(group));
  }
  base::Task<absl::StatusOr<Stay>> ReadStay(GroupId group, PersonId person) override {
    auto reading = store_.ReadStay(std::move(person), std::move(group));
    auto stay = co_await std::move(reading);
    if (!stay.ok()) {
      co_return stay.status();
    }
    co_return stay->value_or(Stay{});
  }
  base::Task<absl::StatusOr<MemberScan>> ScanMembers(GroupId group, uint64_t cursor,
                                                     size_t count) override {
    return store_.ScanMembers(std::move(group), cursor, count);
  }

 private:
  GroupStore& store_;
};

}  // namespace klatch
