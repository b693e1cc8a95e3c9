#pragma once
// The stored facts of a running node: what the log's readers find in Redis.
//
// Thread safety: any thread. Lifetime: refers to the readers.

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "services/accept/stored_facts.h"
#include "services/log/bodies.h"
#include "services/log/group_store.h"

namespace klatch {

class RedisFacts final : public StoredFacts {
 public:
  RedisFacts(Bodies& bodies, GroupStore& groups) : bodies_(bodies), groups_(groups) {}

  base::Task<absl::StatusOr<std::shared_ptr<const Body>>> ReadBody(UpdateId update) override {
    std::vector<UpdateId> ids{update};
    auto reading = bodies_.ReadBodies(std::move(ids));
    auto found = co_await std::move(reading);
    if (!found.ok()) {
      co_return found.status();
    }
    co_return std::move(found->front());
  }

  base::Task<absl::StatusOr<Stay>> ReadStay(GroupId group, PersonId person) override {
    auto reading = groups_.ReadStay(std::move(person), std::move(group));
    auto stay = co_await std::move(reading);
    if (!stay.ok()) {
      co_return stay.status();
    }
    co_return stay->value_or(Stay{});
  }

 private:
  Bodies& bodies_;
  GroupStore& groups_;
};

}  // namespace klatch
