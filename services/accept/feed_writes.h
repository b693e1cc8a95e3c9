#pragma once
// Posting, importing, editing and deleting updates, without gRPC: checks the request, admits it, has the log
// append it, and waits where the caller was promised that it is in force.
//
//   auto response = co_await writes.Publish(request, deadline);
//
// Thread safety: every method from any thread. Nothing blocks; a task continues on the executor
// after its first wait. Lifetime: what Dependencies names outlives this object, and this object
// outlives its tasks. Bounds: services/model/limits.h; an edit is tried kEditAttemptsMax times
// against others' edits. A call whose deadline has come appends nothing more. Errors: as
// feed_service.proto and import_service.proto say. UNAVAILABLE with reason OUTCOME_UNKNOWN comes from the log as it is;
// with reason NOT_YET_IN_FORCE the change is committed.

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/executor.h"
#include "common/base/status.h"
#include "common/base/task.h"
#include "klatch/v1/feed_service.pb.h"
#include "klatch/v1/import_service.pb.h"
#include "services/accept/admission.h"
#include "services/accept/barrier.h"
#include "services/accept/carrier.h"
#include "services/accept/edit_mask.h"
#include "services/accept/group_rights.h"
#include "services/accept/stored_facts.h"
#include "services/accept/update_reader.h"
#include "services/identity/caller_rates.h"
#include "services/log/appender.h"
#include "services/log/body_store.h"
#include "services/model/layout.h"
#include "services/model/limits.h"

namespace klatch {

class FeedWrites {
 public:
  static constexpr int kEditAttemptsMax = 4;

  struct Dependencies {
    Layout layout;
    Appender& appender;
    BodyStore& bodies;
    UpdateReader& visible;
    StoredFacts& stored;
    GroupRights& rights;
    Barrier& barrier;
    const Admission& admission;
    base::Executor& executor;
    const base::Clock& clock;
    // How near and how far an update's expire_time may be; never beyond limits::kExpireMax.
    std::chrono::milliseconds expire_min{limits::kExpireMin};
    std::chrono::milliseconds body_retention{limits::kBodyRetention};
    CallerRates* rates = nullptr;  // null: everybody may post as often as they like
  };

  explicit FeedWrites(Dependencies dependencies)
      : dependencies_(std::move(dependencies)), carrier_(dependencies_.appender) {}

  // Whether posts may come now. Publish looks again.
  absl::Status Admit() const { return dependencies_.admission.Admit(); }
  base::Task<absl::StatusOr<v1::PublishUpdateResponse>> Publish(v1::PublishUpdateRequest request,
                                                                base::MonotonicTime deadline);
  base::Task<absl::StatusOr<v1::BatchPublishUpdatesResponse>> BatchPublish(
      v1::BatchPublishUpdatesRequest request, base::MonotonicTime deadline);
  // Updates of the past, which the app itself brings.
  base::Task<absl::StatusOr<v1::ImportUpdatesResponse>> Import(v1::ImportUpdatesRequest request,
                                                               base::MonotonicTime deadline);
  base::Task<absl::StatusOr<v1::EditUpdateResponse>> Edit(v1::EditUpdateRequest request,
                                                          base::MonotonicTime deadline);
  base::Task<absl::StatusOr<v1::DeleteUpdateResponse>> Delete(v1::DeleteUpdateRequest request,
                                                              base::MonotonicTime deadline);

 private:
  using SharedBody = std::shared_ptr<const Body>;
  struct Edited {
    Position position;
    SharedBody body;
    std::vector<GroupId> groups;  // of several: those where the author may post
  };
  struct Deleted {
    std::vector<Token> tokens;  // where it is in force
    bool was_gone = false;      // an earlier call had done it
  };

  // What the request says, and then whether its actor may post again.
  absl::Status CheckPublish(const v1::PublishUpdateRequest& request) const;
  base::Task<absl::StatusOr<PublishCommand>> Prepare(v1::PublishUpdateRequest request,
                                                     base::MonotonicTime deadline);
  // What of the update's references the actor can't see.
  base::Task<absl::StatusOr<BadReference>> FindBadReference(PersonId actor, v1::Update update,
                                                            base::MonotonicTime deadline);
  BadExpiry FindBadExpiry(const v1::Update& update) const;
  // Deleted, or its time has come.
  bool IsGone(const SharedBody& body) const;
  // The same into a place of a batch's commands.
  base::Task<void> PrepareItem(v1::PublishUpdateRequest item, base::MonotonicTime deadline,
                               absl::StatusOr<PublishCommand>& result);
  // Whether `id` is 0 or an update that the actor can see now.
  base::Task<absl::StatusOr<bool>> Sees(PersonId actor, uint64_t id, std::string field,
                                        base::MonotonicTime deadline);

  absl::Status CheckImport(const v1::ImportedUpdate& update) const;
  base::Task<void> PrepareImport(v1::ImportedUpdate update, base::MonotonicTime deadline,
                                 absl::StatusOr<PublishCommand>& result);

  // Appender's Publish or Import.
  using How =
      base::Task<std::vector<absl::StatusOr<Appended>>> (Appender::*)(std::vector<PublishCommand>);
  // Appends `commands`, all of one shard, and keeps the bodies of what was accepted. Continues on
  // the executor.
  base::Task<std::vector<absl::StatusOr<Appended>>> Append(How how,
                                                           std::vector<PublishCommand> commands);
  // Appends those that are commands, shards side by side, and writes their outcomes to the same
  // places of `results`.
  base::Task<void> AppendPrepared(How how, std::vector<absl::StatusOr<PublishCommand>>& commands,
                                  base::MonotonicTime deadline,
                                  std::vector<absl::StatusOr<Appended>>& results);
  // The same of those at `which`, which are of one shard.
  base::Task<void> AppendShard(How how, std::vector<absl::StatusOr<PublishCommand>>& commands,
                               std::vector<size_t> which,
                               std::vector<absl::StatusOr<Appended>>& results);
  void Keep(std::string stored, const Appended& appended, uint64_t generation);

  // Posts to several groups. REQUIRES: the call is admitted.
  base::Task<absl::StatusOr<v1::PublishUpdateResponse>> PublishSeveral(
      v1::PublishUpdateRequest request, base::MonotonicTime deadline);
  base::Task<void> PublishSeveralItem(v1::PublishUpdateRequest item, base::MonotonicTime deadline,
                                      absl::StatusOr<v1::PublishUpdateResponse>& result);
  base::Task<absl::StatusOr<PublishSeveralCommand>> PrepareSeveral(v1::PublishUpdateRequest request,
                                                                   base::MonotonicTime deadline);
  base::Task<absl::StatusOr<v1::PublishUpdateResponse>> CarryOn(PublishedSeveral published,
                                                                BodyHeader header,
                                                                std::string update_bytes,
                                                                std::string request_id,
                                                                uint64_t generation, AckClass ack);
  // May the author still edit `current`? The groups where; PERMISSION_DENIED if in none.
  base::Task<absl::StatusOr<std::vector<GroupId>>> FindEditable(SharedBody current);
  base::Task<absl::StatusOr<Appended>> AppendEdit(PersonId actor, UpdateId id, SharedBody current,
                                                  std::string edited);
  base::Task<absl::StatusOr<Deleted>> DeleteSeveral(PersonId actor, UpdateId update,
                                                    SharedBody body, base::MonotonicTime deadline);
  base::Task<absl::StatusOr<Deleted>> RemoveFrom(std::vector<GroupId> groups, PersonId actor,
                                                 UpdateId update, SharedBody body);
  base::Task<void> RemoveFromOne(PersonId actor, GroupId group, UpdateId update,
                                 absl::StatusOr<Appended>& result);

  base::Task<absl::StatusOr<Edited>> EditOnce(const v1::EditUpdateRequest& request,
                                              const EditMask& mask, base::MonotonicTime deadline);
  // `refusal` if the actor can see the update, otherwise NOT_FOUND.
  base::Task<absl::Status> RefuseTo(PersonId actor, UpdateId update, absl::Status refusal,
                                    base::MonotonicTime deadline);
  base::Task<absl::StatusOr<Deleted>> AppendDelete(PersonId actor, UpdateId update,
                                                   base::MonotonicTime deadline);
  base::Task<absl::Status> WaitForAbsence(UpdateId update, base::MonotonicTime deadline);

  const Dependencies dependencies_;
  Carrier carrier_;
};

}  // namespace klatch
