#pragma once
// The Appender whose log is Redis: each call is one of services/log/scripts, sent over a pipeline
// that many callers share.
//
// Thread safety: as Appender.
// Lifetime: `pipeline`, `clock` and the appender outlive every task.
// Bounds: the pipeline's, and PublishQueue's; at most limits::kMembersPerScript persons in one script, so
// that none takes a millisecond.

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "common/redis/pipeline.h"
#include "services/log/acks.h"
#include "services/log/appender.h"
#include "services/log/log_clock.h"
#include "services/log/outcome.h"
#include "services/log/publish_queue.h"
#include "services/log/publish_words.h"
#include "services/model/keys.h"
#include "services/model/layout.h"
#include "services/model/limits.h"

namespace klatch {

class RedisAppender final : public Appender {
 public:
  struct Options {
    std::chrono::milliseconds body_retention = limits::kBodyRetention;
    std::chrono::milliseconds once_retention = limits::kOnceRetention;
    // How long an update may wait until it is sent; as long as the pipeline's calls may take.
    std::chrono::milliseconds publish_wait_max{5'000};
    // PublishQueue's.
    std::function<double()> open_share = [] { return 1.0; };
    // Outlives the appender's tasks. Null: nobody asks for copies, and none are waited for.
    Acks* acks = nullptr;
  };
  // `clock` is told of what is appended.
  RedisAppender(redis::Pipeline& pipeline, const Layout& layout, LogClock& clock,
                const Options& options);

  base::Task<std::vector<absl::StatusOr<Appended>>> Publish(
      std::vector<PublishCommand> commands) override;
  base::Task<std::vector<absl::StatusOr<Appended>>> Import(
      std::vector<PublishCommand> commands) override;
  base::Task<absl::StatusOr<Appended>> Edit(EditCommand command) override;
  base::Task<absl::StatusOr<Appended>> Delete(DeleteCommand command) override;
  base::Task<absl::StatusOr<Appended>> CreateGroup(CreateGroupCommand command) override;
  base::Task<absl::StatusOr<GroupUpdated>> UpdateGroup(UpdateGroupCommand command) override;
  base::Task<absl::StatusOr<Appended>> DeleteGroup(PersonId actor, GroupId group) override;
  base::Task<absl::StatusOr<MembersAppended>> AddMembers(AddMembersCommand command) override;
  base::Task<absl::StatusOr<MembersAppended>> RemoveMembers(RemoveMembersCommand command) override;
  base::Task<absl::StatusOr<MemberUpdated>> UpdateMember(PersonId actor, GroupId group,
                                                         PersonRole member) override;
  base::Task<absl::StatusOr<Appended>> BeginSync(MembersList list) override;
  base::Task<absl::StatusOr<MembersSynced>> SyncMembers(MembersList list,
                                                        std::vector<PersonRole> members) override;
  base::Task<absl::StatusOr<PublishedSeveral>> PublishSeveral(
      PublishSeveralCommand command) override;
  base::Task<absl::StatusOr<Carry>> CarryTo(CarryCommand command) override;
  base::Task<absl::StatusOr<Settled>> Settle(SettleCommand command) override;
  base::Task<absl::Status> AwaitSettling(UpdateId update) override;
  base::Task<absl::StatusOr<std::vector<PendingPost>>> TakePending(ShardIndex shard,
                                                                   std::chrono::milliseconds age,
                                                                   size_t count) override;
  base::Task<absl::StatusOr<Appended>> EditSeveral(EditSeveralCommand command) override;
  base::Task<absl::StatusOr<Appended>> DeleteSeveral(PersonId author, UpdateId update,
                                                     std::vector<GroupId> groups) override;
  base::Task<absl::StatusOr<Appended>> RemoveUpdate(PersonId actor, GroupId group,
                                                    UpdateId update) override;
  base::Task<absl::StatusOr<DeliveryDecided>> DecideDelivery(GroupId group,
                                                             PullThresholds thresholds) override;
  base::Task<absl::StatusOr<Appended>> Tick(ShardIndex shard) override;
  std::chrono::nanoseconds OldestAge() const override {
    return std::max(pipeline_.OldestAge(), queue_.OldestAge());
  }
  std::chrono::nanoseconds ExpectedWait() const override { return queue_.ExpectedWait(); }
  const PublishQueue& posts() const { return queue_; }

 private:
  bool WantsCopies(AckClass ack) const { return acks_ != nullptr && !acks_->IsLocal(ack); }
  base::Task<std::vector<absl::StatusOr<Appended>>> PublishAll(std::vector<PublishCommand> commands,
                                                               UpdateOrigin origin);
  // Which of the commands may not be appended, since the copies that they ask for are not to be had:
  // their statuses, by their places; OK for the others.
  base::Task<std::vector<absl::Status>> FindRefused(const std::vector<PublishCommand>& commands);
  // Appends those that are not refused.
  base::Task<std::vector<absl::StatusOr<Appended>>> PublishThose(
      std::vector<PublishCommand> commands, UpdateOrigin origin, std::vector<absl::Status> refused);
  // Makes an outcome unknown whose copies are.
  base::Task<void> AwaitCopies(const std::vector<PublishCommand>& commands,
                               std::vector<absl::StatusOr<Appended>>& results);
  // Sends one script; errors name `what` and the shard.
  base::Task<absl::StatusOr<redis::Reply>> Send(redis::Command command, std::string what,
                                                ShardIndex shard);
  // The same, reads its outcome, and waits for the copies; errors name `what` and the shard.
  base::Task<absl::StatusOr<Outcome>> Run(redis::Command command, std::string what,
                                          ShardIndex shard, RequestFields fields, AckClass ack);
  base::Task<absl::StatusOr<Appended>> Append(redis::Command command, std::string what,
                                              ShardIndex shard, RequestFields fields, AckClass ack);
  base::Task<absl::StatusOr<MembersAppended>> ChangeMembers(redis::Command command,
                                                            std::string what, ShardIndex shard,
                                                            RequestFields fields, AckClass ack);

  redis::Pipeline& pipeline_;
  const Layout layout_;
  LogClock& clock_;
  const Keys keys_;
  const std::string body_retention_ms_;
  const std::string once_retention_ms_;
  const PublishWords words_;
  PublishQueue queue_;
  Acks* const acks_;
};

}  // namespace klatch
