#pragma once
// Groups and their members as the log's scripts keep them in Redis; read only. What decides who
// sees what is the viewer's owner's view, not this.
//
// Thread safety: any thread; tasks continue on the pipeline's thread.
// Lifetime: `pipeline` and the store outlive every task.
// Errors: those of the pipeline and of Redis; DATA_LOSS if what is stored can't be read.

#include <cstdint>
#include <optional>
#include <vector>

#include "common/base/status.h"
#include "common/base/task.h"
#include "common/redis/pipeline.h"
#include "services/log/stored_group.h"
#include "services/model/keys.h"
#include "services/model/layout.h"
#include "services/model/membership.h"

namespace klatch {

struct StoredMember {
  PersonId person;
  Stay stay;
};

struct MemberScan {
  uint64_t next_cursor = 0;  // 0: that was all
  std::vector<StoredMember> members;
};

class GroupStore {
 public:
  GroupStore(redis::Pipeline& pipeline, const Layout& layout);

  // NOT_FOUND ("group") if there never was such a group; a deleted one is answered as such.
  base::Task<absl::StatusOr<StoredGroup>> ReadGroup(GroupId group);

  // Nothing if the person is no member, or there is no such group.
  base::Task<absl::StatusOr<std::optional<Stay>>> ReadStay(PersonId person, GroupId group);

  // About `count` members from `cursor` on (0 begins). Who is a member during the whole scan is in
  // it; a member may be in it twice. A small group comes whole, whatever `count` says.
  base::Task<absl::StatusOr<MemberScan>> ScanMembers(GroupId group, uint64_t cursor, size_t count);

 private:
  redis::Pipeline& pipeline_;
  const Keys keys_;
};

}  // namespace klatch
