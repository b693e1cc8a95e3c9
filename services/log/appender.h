#pragma once
// The way into the log: what happened is what an Appender appended. Each call is one step of Redis in the
// group's slot that validates everything before its first write, so a call either happens whole or
// not at all (DESIGN: "The append is the commit point").
//
// Thread safety: every method from any thread. Tasks continue on the log's connection thread; do
// heavy work elsewhere. Errors, besides those named at each method: UNAVAILABLE with reason
// OUTCOME_UNKNOWN when the call may or may not have happened (repeat it with the same request id);
// UNAVAILABLE with reason NOT_SENT, RESOURCE_EXHAUSTED (queue full, Redis out of memory): it did
// not happen. FAILED_PRECONDITION: a key of Redis holds something else than Klatch put there;
// nothing was written; or ("ack") the copies that were asked for are not to be had.
//
// Copies (model/ack.h): what takes something away is answered when they are known of as far as there
// are any; what a command says, as it says; the rest as is usual.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/base/task.h"
#include "services/log/stored_group.h"
#include "services/model/ack.h"
#include "services/model/body.h"
#include "services/model/delivery.h"
#include "services/model/ids.h"
#include "services/model/membership.h"
#include "services/model/position.h"

namespace klatch {

// What an update refers to and its author can't see.
enum class BadReference { kNone, kReplyTo, kReshareOf };

// Why an update's expiry can't be.
enum class BadExpiry { kNone, kTooNear, kTooFar };

// Why a post to all of its actor's groups goes nowhere.
enum class BadTargets { kNone, kNoGroup, kTooMany };

struct PublishCommand {
  PersonId actor;
  GroupId group;
  std::string request_id;
  std::string payload_digest;             // 16 bytes; equal digests mean the same request
  std::string body;                       // EncodeBody; audience may be kGroupDefault
  int64_t expire_unix_ms = kNeverUnixMs;  // as the body says
  // Refuse the update, but not the repetition of one that was published when all was well with it.
  BadReference bad_reference = BadReference::kNone;
  BadExpiry bad_expiry = BadExpiry::kNone;
  AckClass ack = AckClass::kUsual;
};

struct Appended {
  Position position;
  bool replayed = false;  // an earlier call with this request id had done it
  // Of a publish: the audience that the stored body has. kGroupDefault if replayed: it isn't known
  // then.
  AudienceRule audience = AudienceRule::kGroupDefault;
};

// A post to several groups as its author's home shard takes it.
struct PublishSeveralCommand {
  PersonId actor;
  std::string request_id;
  std::string payload_digest;
  std::string body;                       // EncodeBody with targets that are not decided
  int64_t expire_unix_ms = kNeverUnixMs;  // as the body says
  // Refuse the update, but not the repetition of one that was published.
  BadReference bad_reference = BadReference::kNone;
  BadExpiry bad_expiry = BadExpiry::kNone;
  BadTargets bad_targets = BadTargets::kNone;
  AckClass ack = AckClass::kUsual;
};

struct PublishedSeveral {
  UpdateId id;
  bool replayed = false;
  // Of a replay: what is stored of the update; nothing if that is gone.
  std::optional<Body> stored;
};

struct CarryCommand {
  UpdateId update;
  PersonId author;
  GroupId group;
  AudienceRule audience = AudienceRule::kGroupDefault;  // asked for in all groups
  AckClass ack = AckClass::kLocal;
};

struct SettleCommand {
  UpdateId update;
  // Of the post that is to be forgotten if no group took it. Nothing: keep that it was posted; it
  // is waiting without a request id then (AwaitSettling).
  std::optional<PersonId> author;
  std::string request_id;
  // What is known of the targets, in the order of the body; empty if the body is gone.
  std::vector<Carry> carries;
};

struct Settled {
  // Of the change if groups that had the update have it no longer; otherwise the log's last.
  Position position;
  uint32_t carried = 0;  // how many groups have it
};

// A post that waits to be decided.
struct PendingPost {
  UpdateId update;
  std::string request_id;
};

struct EditSeveralCommand {
  PersonId actor;
  UpdateId update;
  uint32_t expected_revision = 0;
  std::string body;             // as EditCommand's; its targets are not looked at
  std::vector<GroupId> groups;  // that have it, for the record
};

struct EditCommand {
  PersonId actor;
  UpdateId update;
  uint32_t expected_revision = 0;
  std::string body;  // EncodeBody with revision expected_revision + 1 and a resolved audience
};

struct DeleteCommand {
  PersonId actor;
  UpdateId update;
  GroupId group;    // as the body says
  PersonId author;  // as the body says
};

struct CreateGroupCommand {
  PersonId actor;
  GroupFields group;
  std::string request_id;
  std::string payload_digest;
};

// What is set changes.
struct UpdateGroupCommand {
  struct Past {
    History history = History::kNone;
    uint32_t count = 0;  // as GroupFields::history_count
  };

  PersonId actor;
  GroupId group;
  std::optional<std::string> display_name;
  std::optional<std::string> description;
  std::optional<Past> past;
  std::optional<AudienceRule> default_audience;
  std::optional<Role> post_role;
  std::optional<Role> add_role;
  std::optional<Joining> joining;
  std::optional<bool> closed;
  // Of the retention; 0 takes a bound away.
  std::optional<std::chrono::milliseconds> keep_age;
  std::optional<uint32_t> keep_count;
  std::optional<uint64_t> keep_bytes;
};

struct PersonRole {
  PersonId person;
  Role role = Role::kMember;
};

// At most limits::kMembersPerScript persons.
struct AddMembersCommand {
  PersonId actor;
  GroupId group;
  std::string request_id;
  uint32_t chunk = 0;  // which part of the call that `request_id` stands for
  std::string payload_digest;
  std::vector<PersonRole> members;
};

struct RemoveMembersCommand {
  PersonId actor;
  GroupId group;
  std::string request_id;
  uint32_t chunk = 0;
  std::string payload_digest;
  std::vector<PersonId> persons;
};

struct MembersAppended {
  // Where the change stands; of an earlier call if `replayed`. If nobody changed: the log's last
  // position, so that waiting for it covers whatever made the change before, and `changed` is 0.
  Position position;
  uint32_t changed = 0;
  uint32_t unchanged = 0;
  bool replayed = false;
};

// A list of a group's members that an app brought, and the call that brought it.
struct MembersList {
  GroupId group;
  uint64_t version = 0;
  std::string payload_digest;
  std::string claim;  // 8 random bytes: of two calls with the same list the later one goes on
};

// What became of a person of such a list.
enum class MemberOutcome : uint8_t { kNothing, kJoined, kRoleChanged, kLeft };

struct MembersSynced {
  Position position;  // as MembersAppended's
  std::vector<MemberOutcome> outcomes;
};

struct GroupUpdated {
  Position position;
  bool replayed = false;
  StoredGroup group;  // as it was then
};

struct MemberUpdated {
  Position position;
  bool replayed = false;
  Stay stay;  // as it was then
};

struct DeliveryDecided {
  // Of the switch; otherwise the log's last.
  Position position;
  bool switched = false;
  Delivery delivery = Delivery::kCopied;
};

class Appender {
 public:
  virtual ~Appender() = default;

  // Publishes each on its own; results in the order of `commands`, all of which must be in groups
  // of one shard, at most limits::kBatchUpdatesMax. Per command: NOT_FOUND (field "update.groups")
  // no such group, ("update.reply_to", "update.reshare_of") its bad_reference; INVALID_ARGUMENT
  // ("update.expire_time") its bad_expiry; PERMISSION_DENIED
  // (field "actor") no member, or below the group's post_role; FAILED_PRECONDITION ("update.groups") the group
  // is closed; ALREADY_EXISTS (field "request_id") used with another payload.
  virtual base::Task<std::vector<absl::StatusOr<Appended>>> Publish(
      std::vector<PublishCommand> commands) = 0;

  // The same for updates that an app imports: their request_id is the app's key, and is known as long
  // as the body would be kept. PERMISSION_DENIED (field "author") only if the author is no member;
  // ALREADY_EXISTS ("source_id").
  virtual base::Task<std::vector<absl::StatusOr<Appended>>> Import(
      std::vector<PublishCommand> commands) = 0;

  // NOT_FOUND ("update_id"); PERMISSION_DENIED ("actor") not the author, or one who may not post in
  // the update's group any more; FAILED_PRECONDITION ("update_id") that is closed; ABORTED another edit
  // came first. If the stored body is `body`
  // already, yields the log's last position and `replayed`.
  virtual base::Task<absl::StatusOr<Appended>> Edit(EditCommand command) = 0;

  // PERMISSION_DENIED ("actor") neither the author nor a moderator or owner. Deleting what is gone
  // already yields the log's last position and `replayed`.
  virtual base::Task<absl::StatusOr<Appended>> Delete(DeleteCommand command) = 0;

  // ALREADY_EXISTS ("group.id", or "request_id" when used with another payload). Ids of deleted
  // groups count as taken.
  virtual base::Task<absl::StatusOr<Appended>> CreateGroup(CreateGroupCommand command) = 0;
  // NOT_FOUND ("group.id"); PERMISSION_DENIED ("actor") no owner. If nothing is set: the log's last
  // position and `replayed`.
  virtual base::Task<absl::StatusOr<GroupUpdated>> UpdateGroup(UpdateGroupCommand command) = 0;
  // The same, with field "group". Deleting what is deleted already yields the position of its
  // deletion and `replayed`, for whoever asks.
  virtual base::Task<absl::StatusOr<Appended>> DeleteGroup(PersonId actor, GroupId group) = 0;

  // NOT_FOUND ("group"); PERMISSION_DENIED ("actor") below the group's add_role, or a stranger where
  // joining is not open, or ("members") a role that the actor may not give;
  // FAILED_PRECONDITION ("group") it is closed; ALREADY_EXISTS ("request_id").
  virtual base::Task<absl::StatusOr<MembersAppended>> AddMembers(AddMembersCommand command) = 0;
  // The same; everyone may remove exactly oneself. PERMISSION_DENIED ("persons") someone's role is
  // not below the actor's (owners may remove owners); FAILED_PRECONDITION ("persons") no owner
  // would be left. Of a removal that removed nobody the outcome may not be kept: of a stranger's
  // never, of others' not when memory is short.
  virtual base::Task<absl::StatusOr<MembersAppended>> RemoveMembers(
      RemoveMembersCommand command) = 0;
  // NOT_FOUND ("group", "member.person" if no member); PERMISSION_DENIED ("actor") no owner;
  // FAILED_PRECONDITION ("member.role") no owner would be left. A role that the person has already
  // yields the log's last position and `replayed`.
  virtual base::Task<absl::StatusOr<MemberUpdated>> UpdateMember(PersonId actor, GroupId group,
                                                                 PersonRole member) = 0;

  // Begins to make a group's members those of a list; yields the log's last position. NOT_FOUND
  // ("group"); FAILED_PRECONDITION ("version") with reason STALE_VERSION, the group has a later one;
  // ALREADY_EXISTS ("version") it was used for other members.
  virtual base::Task<absl::StatusOr<Appended>> BeginSync(MembersList list) = 0;
  // Gives at most limits::kMembersPerScript persons, each once, their roles of the list; kNone: they
  // leave. Errors are BeginSync's, too, if another call has begun since; ABORTED if that was one with
  // the same list; FAILED_PRECONDITION ("members") no owner would be left.
  virtual base::Task<absl::StatusOr<MembersSynced>> SyncMembers(
      MembersList list, std::vector<PersonRole> members) = 0;

  // Posts to several groups, one step each; DESIGN says in which order. All can be repeated.
  //
  // NOT_FOUND ("update.reply_to", "update.reshare_of"); INVALID_ARGUMENT ("update.expire_time");
  // FAILED_PRECONDITION ("all_my_groups") its bad_targets; ALREADY_EXISTS ("request_id").
  virtual base::Task<absl::StatusOr<PublishedSeveral>> PublishSeveral(
      PublishSeveralCommand command) = 0;
  // What the group decided, be it a refusal, now or before. An error: it is not decided, or not
  // known to be.
  virtual base::Task<absl::StatusOr<Carry>> CarryTo(CarryCommand command) = 0;
  virtual base::Task<absl::StatusOr<Settled>> Settle(SettleCommand command) = 0;
  // Notes that the update's targets are to be looked at again, whatever becomes of the caller.
  virtual base::Task<absl::Status> AwaitSettling(UpdateId update) = 0;
  // At most `count` of the shard's that have waited for `age`, which then wait anew.
  virtual base::Task<absl::StatusOr<std::vector<PendingPost>>> TakePending(
      ShardIndex shard, std::chrono::milliseconds age, size_t count) = 0;

  // As Edit and Delete; who may is the caller's to know, but for being the author.
  virtual base::Task<absl::StatusOr<Appended>> EditSeveral(EditSeveralCommand command) = 0;
  virtual base::Task<absl::StatusOr<Appended>> DeleteSeveral(PersonId author, UpdateId update,
                                                             std::vector<GroupId> groups) = 0;
  // Takes the update out of the group; Settle makes it so. PERMISSION_DENIED ("actor") no moderator
  // there; NOT_FOUND ("update_id") the group doesn't have it. What was taken out already yields the
  // log's last position and `replayed`.
  virtual base::Task<absl::StatusOr<Appended>> RemoveUpdate(PersonId actor, GroupId group,
                                                            UpdateId update) = 0;

  // Switches how the group's updates reach its members, if their number says so. For a group that
  // is there no longer: copied.
  virtual base::Task<absl::StatusOr<DeliveryDecided>> DecideDelivery(GroupId group,
                                                                     PullThresholds thresholds) = 0;

  // Appends a tick, so that the shard's time moves on.
  virtual base::Task<absl::StatusOr<Appended>> Tick(ShardIndex shard) = 0;

  // How long the oldest unanswered append has waited; what admission looks at.
  virtual std::chrono::nanoseconds OldestAge() const = 0;
  // How long a post that came now would wait for its turn, as others go now. Admission looks at it, too: by the time
  // that the oldest is late, many more have come.
  virtual std::chrono::nanoseconds ExpectedWait() const = 0;
};

}  // namespace klatch
