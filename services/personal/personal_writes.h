#pragma once
// Writes personal state: to the person's slot in Redis, then to memory; when replicas have it, it
// answers. What is in memory is in force, and what is in force is in Redis.
//
// A block stands at two persons: who is blocked learns of it first, and is let go last.
//
//   block:    blocked-by of the other ─▶ own list
//   unblock:  own list ─▶ blocked-by of the other
//
// Half done, either hides more than it would, never less; repeated, it is finished.
//
// Calls that touch a partition take turns: what stands in memory when a call's turn begins is what
// Redis holds, but for outcomes that nobody knows, and nothing interleaves.
//
// Thread safety: every method from any thread. Nothing blocks; a task continues on the executor
// after its first wait.
// Lifetime: what Dependencies names outlives this object, and this object outlives its tasks.
// Bounds: services/model/limits.h; one script under way per partition.
// Errors, besides those at each method: RESOURCE_EXHAUSTED (the field) past a bound, without a
// field when Redis is out of memory; FAILED_PRECONDITION a key holds something else than Klatch
// put there; UNAVAILABLE with reason NOT_OWNER this node lost the person's lease, NOT_SENT it has
// not happened, OUTCOME_UNKNOWN repeat it; DEADLINE_EXCEEDED with reason NOT_SENT.

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/executor.h"
#include "common/base/status.h"
#include "common/base/task.h"
#include "common/redis/pipeline.h"
#include "klatch/v1/person_service.pb.h"
#include "services/log/acks.h"
#include "services/model/keys.h"
#include "services/model/layout.h"
#include "services/model/limits.h"
#include "services/personal/partition_turns.h"
#include "services/personal/person_checks.h"
#include "services/personal/personal_scripts.h"
#include "services/personal/personal_store.h"

namespace klatch {

class PersonalWrites {
 public:
  struct Dependencies {
    Layout layout;
    PersonalStore& store;
    redis::Pipeline& redis;
    // Null: no copies are waited for.
    Acks* acks = nullptr;
    // The nonce of this node's lease on a partition, and whom to tell that it is lost.
    std::function<const std::string&(PartitionIndex)> nonce_of;
    std::function<void(PartitionIndex)> note_lost;
    base::Executor& executor;
    const base::Clock& clock;
    // Hidden updates that are older have expired.
    std::chrono::milliseconds body_retention{limits::kBodyRetention};
  };

  explicit PersonalWrites(Dependencies dependencies);

  // Both ways; see above. REQUIRES: they are not the same.
  base::Task<absl::Status> Block(PersonId actor, PersonId person, base::MonotonicTime deadline);
  base::Task<absl::Status> Unblock(PersonId actor, PersonId person, base::MonotonicTime deadline);

  base::Task<absl::Status> Mute(PersonId actor, PersonId person, base::MonotonicTime deadline);
  base::Task<absl::Status> Unmute(PersonId actor, PersonId person, base::MonotonicTime deadline);
  base::Task<absl::Status> MuteGroup(PersonId actor, GroupId group, base::MonotonicTime deadline);
  base::Task<absl::Status> UnmuteGroup(PersonId actor, GroupId group, base::MonotonicTime deadline);

  // Forgets some of those that have expired at the same time.
  base::Task<absl::Status> Hide(PersonId actor, UpdateId update, base::MonotonicTime deadline);
  base::Task<absl::Status> Unhide(PersonId actor, UpdateId update, base::MonotonicTime deadline);

  // The marker as it is afterwards. `group` empty: home.
  base::Task<absl::StatusOr<UpdateId>> RaiseMarker(PersonId actor, GroupId group, UpdateId marker,
                                                   base::MonotonicTime deadline);

  // The profile as it is afterwards. DATA_LOSS if what is stored is none.
  base::Task<absl::StatusOr<v1::Profile>> ChangeProfile(PersonId actor, ProfileChange change,
                                                        base::MonotonicTime deadline);

 private:
  using SetChange = personal::SetChange;
  // What a call has changed: where to look, and the number of members that were added, which the answer
  // begins with; the others must not be there.
  struct Look {
    redis::Command command;
    size_t added;
  };
  using Looks = std::vector<Look>;
  // A turn, and a second one where a call touches two partitions.
  using Turns = std::vector<PartitionTurns::Turn>;

  // Waits for the turns of the persons' partitions. DEADLINE_EXCEEDED with reason NOT_SENT.
  base::Task<absl::StatusOr<Turns>> TakeTurns(std::vector<PersonId> persons,
                                              base::MonotonicTime deadline);

  // The rest is for who has the turn.

  // Writes the change, then shows `after`, then adds to `looks` what replicas must have.
  base::Task<absl::Status> Change(PersonId person, SetChange change, PersonalState after,
                                  Looks& looks);
  // A change of one set of one person, under a turn of its own. `change_state` makes of the state
  // what it will be, or says why not.
  base::Task<absl::Status> ChangeOne(
      PersonId person, SetChange change,
      std::function<absl::Status(PersonalState&, SetChange&)> change_state,
      base::MonotonicTime deadline);
  base::Task<absl::StatusOr<redis::Reply>> Run(PartitionIndex partition, personal::ScriptCall call);
  base::Task<absl::Status> SetFence(PartitionIndex partition);
  // Nobody's turn any more: until replicas, if there are any, have the changes.
  base::Task<absl::Status> AwaitCopies(Looks looks);
  absl::Status LostLease(PartitionIndex partition);
  absl::Status AdmitBlock(const PersonId& actor, const PersonalState& own, const PersonId& person,
                          const PersonalState& others);
  void ForgetExpired(PersonalState& state, SetChange& change) const;

  const Dependencies d_;
  const Keys keys_;
  PartitionTurns turns_;
  // By partition, of whoever has its turn; empty: none set since the connection may have broken.
  std::vector<std::string> fences_;
};

}  // namespace klatch
