#include "services/personal/personal_writes.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/base/failpoint.h"
#include "common/base/hash.h"
#include "common/redis/connection.h"
#include "services/accept/in_time.h"
#include "services/log/outcome.h"
#include "services/persons/ownership.h"

namespace klatch {
namespace {

using personal::ReadVerdict;
using personal::ScriptCall;
using personal::SetKey;
using personal::Verdict;

constexpr size_t kFenceBytes = 16;
// A fence that arrives late stands once; more than a few in a row is somebody else's work.
constexpr int kAttemptsMax = 4;
// Expired updates that a call forgets, so that each script stays short.
constexpr size_t kForgottenMax = 100;

absl::Status PastBound(std::string_view field, std::string_view what, size_t count_max) {
  return base::FieldError(
      absl::StatusCode::kResourceExhausted, field,
      fmt::format("would be one more than the {} {} that a person may have", count_max, what));
}

absl::Status NoRoom(std::string_view field) {
  return base::FieldError(absl::StatusCode::kResourceExhausted, field,
                          "would be one more than this node holds as many persons as it may");
}

// What ended the second part of a call whose first part is in force. Whatever it was, the caller
// must not take it for a call that has changed nothing.
absl::Status HalfDone(const absl::Status& status) {
  if (status.ok()) {
    return status;
  }
  return base::WithReason(
      base::Error(absl::StatusCode::kUnavailable,
                  "half done; repeat the call (" + base::MessageOf(status) + ")"),
      "OUTCOME_UNKNOWN");
}

absl::Status CheckMutes(const PersonalState& state, std::string_view field) {
  return state.muted_persons.size() + state.muted_groups.size() > limits::kMutesMax
             ? PastBound(field, "mutes", limits::kMutesMax)
             : absl::OkStatus();
}

}  // namespace

PersonalWrites::PersonalWrites(Dependencies dependencies)
    : d_(std::move(dependencies)),
      keys_(d_.layout),
      turns_(d_.layout.partition_count, d_.executor),
      fences_(d_.layout.partition_count) {}

base::Task<absl::StatusOr<PersonalWrites::Turns>> PersonalWrites::TakeTurns(
    std::vector<PersonId> persons, base::MonotonicTime deadline) {
  std::vector<PartitionIndex> partitions;
  for (const PersonId& person : persons) {
    partitions.push_back(d_.layout.PartitionOf(person));
  }
  std::ranges::sort(partitions);
  partitions.erase(std::unique(partitions.begin(), partitions.end()), partitions.end());
  Turns taken;
  taken.reserve(partitions.size());
  for (const PartitionIndex partition : partitions) {
    auto taking = turns_.Take(partition);
    PartitionTurns::Turn turn = co_await taking;
    taken.push_back(std::move(turn));
  }
  const absl::Status in_time = CheckInTime(d_.clock, deadline);
  if (!in_time.ok()) {
    co_return in_time;
  }
  co_return taken;
}

absl::Status PersonalWrites::AdmitBlock(const PersonId& actor, const PersonalState& own,
                                        const PersonId& person, const PersonalState& others) {
  if (own.blocks.size() >= limits::kBlocksMax && !own.blocks.Contains(person.value())) {
    return PastBound("person", "blocks", limits::kBlocksMax);
  }
  if (others.blocked_by.size() >= limits::kBlockedByMax &&
      !others.blocked_by.Contains(actor.value())) {
    return base::FieldError(absl::StatusCode::kResourceExhausted, "person",
                            "is blocked by as many as one can be");
  }
  if (!d_.store.Admit(person)) {
    return NoRoom("person");
  }
  return d_.store.Admit(actor) ? absl::OkStatus() : NoRoom("actor");
}

base::Task<absl::Status> PersonalWrites::Block(PersonId actor, PersonId person,
                                               base::MonotonicTime deadline) {
  std::vector<PersonId> both{actor, person};
  auto taking = TakeTurns(std::move(both), deadline);
  absl::StatusOr<Turns> turns = co_await std::move(taking);
  if (!turns.ok()) {
    co_return turns.status();
  }
  PersonalState own = d_.store.Current(actor);
  PersonalState others = d_.store.Current(person);
  const absl::Status admitted = AdmitBlock(actor, own, person, others);
  if (!admitted.ok()) {
    co_return admitted;
  }
  others.blocked_by.Add(actor.value());
  Looks looks;
  auto hiding =
      Change(person, {SetKey::kBlocks, {personal::BlockedByMember(actor)}}, others, looks);
  const absl::Status hidden = co_await std::move(hiding);
  if (!hidden.ok()) {
    co_return hidden;
  }
  own.blocks.Add(person.value());
  // What has begun is not left half done for want of memory.
  SetChange listed{SetKey::kBlocks, {personal::BlockedMember(person)}};
  listed.without_memory = true;
  auto listing = Change(actor, std::move(listed), std::move(own), looks);
  const absl::Status done = co_await std::move(listing);
  if (!done.ok()) {
    co_return HalfDone(done);
  }
  turns->clear();
  auto waiting = AwaitCopies(std::move(looks));
  co_return co_await std::move(waiting);
}

base::Task<absl::Status> PersonalWrites::Unblock(PersonId actor, PersonId person,
                                                 base::MonotonicTime deadline) {
  std::vector<PersonId> both{actor, person};
  auto taking = TakeTurns(std::move(both), deadline);
  absl::StatusOr<Turns> turns = co_await std::move(taking);
  if (!turns.ok()) {
    co_return turns.status();
  }
  PersonalState own = d_.store.Current(actor);
  own.blocks.Remove(person.value());
  SetChange unlisted{SetKey::kBlocks};
  unlisted.removed.push_back(personal::BlockedMember(person));
  Looks looks;
  auto unlisting = Change(actor, std::move(unlisted), std::move(own), looks);
  const absl::Status done = co_await std::move(unlisting);
  if (!done.ok()) {
    co_return done;
  }
  PersonalState others = d_.store.Current(person);
  others.blocked_by.Remove(actor.value());
  SetChange shown{SetKey::kBlocks};
  shown.removed.push_back(personal::BlockedByMember(actor));
  auto showing = Change(person, std::move(shown), std::move(others), looks);
  const absl::Status finished = co_await std::move(showing);
  if (!finished.ok()) {
    co_return HalfDone(finished);
  }
  turns->clear();
  auto waiting = AwaitCopies(std::move(looks));
  co_return co_await std::move(waiting);
}

base::Task<absl::Status> PersonalWrites::ChangeOne(
    PersonId person, SetChange change,
    std::function<absl::Status(PersonalState&, SetChange&)> change_state,
    base::MonotonicTime deadline) {
  std::vector<PersonId> one{person};
  auto taking = TakeTurns(std::move(one), deadline);
  absl::StatusOr<Turns> turns = co_await std::move(taking);
  if (!turns.ok()) {
    co_return turns.status();
  }
  PersonalState state = d_.store.Current(person);
  const absl::Status changed = change_state(state, change);
  if (!changed.ok()) {
    co_return changed;
  }
  if (!change.added.empty() && !d_.store.Admit(person)) {
    co_return NoRoom("actor");
  }
  Looks looks;
  auto changing = Change(std::move(person), std::move(change), std::move(state), looks);
  const absl::Status written = co_await std::move(changing);
  if (!written.ok()) {
    co_return written;
  }
  turns->clear();
  auto waiting = AwaitCopies(std::move(looks));
  co_return co_await std::move(waiting);
}

base::Task<absl::Status> PersonalWrites::Mute(PersonId actor, PersonId person,
                                              base::MonotonicTime deadline) {
  SetChange change{SetKey::kMutes, {personal::MutedMember(person)}};
  return ChangeOne(
      std::move(actor), std::move(change),
      [person = std::move(person)](PersonalState& state, SetChange&) {
        state.muted_persons.Add(person.value());
        return CheckMutes(state, "person");
      },
      deadline);
}

base::Task<absl::Status> PersonalWrites::Unmute(PersonId actor, PersonId person,
                                                base::MonotonicTime deadline) {
  SetChange change{SetKey::kMutes};
  change.removed.push_back(personal::MutedMember(person));
  return ChangeOne(
      std::move(actor), std::move(change),
      [person = std::move(person)](PersonalState& state, SetChange&) {
        state.muted_persons.Remove(person.value());
        return absl::OkStatus();
      },
      deadline);
}

base::Task<absl::Status> PersonalWrites::MuteGroup(PersonId actor, GroupId group,
                                                   base::MonotonicTime deadline) {
  SetChange change{SetKey::kMutes, {personal::MutedMember(group)}};
  return ChangeOne(
      std::move(actor), std::move(change),
      [group = std::move(group)](PersonalState& state, SetChange&) {
        state.muted_groups.Add(group.value());
        return CheckMutes(state, "group");
      },
      deadline);
}

base::Task<absl::Status> PersonalWrites::UnmuteGroup(PersonId actor, GroupId group,
                                                     base::MonotonicTime deadline) {
  SetChange change{SetKey::kMutes};
  change.removed.push_back(personal::MutedMember(group));
  return ChangeOne(
      std::move(actor), std::move(change),
      [group = std::move(group)](PersonalState& state, SetChange&) {
        state.muted_groups.Remove(group.value());
        return absl::OkStatus();
      },
      deadline);
}

void PersonalWrites::ForgetExpired(PersonalState& state, SetChange& change) const {
  const int64_t expired_unix_ms = base::UnixMs(d_.clock.Wall() - d_.body_retention);
  const auto end = std::ranges::find_if(state.hidden, [expired_unix_ms](UpdateId update) {
    return update.unix_ms() > expired_unix_ms;
  });
  const auto count = std::min<std::ptrdiff_t>(end - state.hidden.begin(), kForgottenMax);
  for (auto update = state.hidden.begin(); update != state.hidden.begin() + count; ++update) {
    change.removed.push_back(personal::HiddenMember(*update));
  }
  state.hidden.erase(state.hidden.begin(), state.hidden.begin() + count);
}

base::Task<absl::Status> PersonalWrites::Hide(PersonId actor, UpdateId update,
                                              base::MonotonicTime deadline) {
  SetChange change{SetKey::kHidden, {personal::HiddenMember(update)}};
  return ChangeOne(
      std::move(actor), std::move(change),
      [this, update](PersonalState& state, SetChange& with_expired) {
        ForgetExpired(state, with_expired);
        state.Hide(update);
        return state.hidden.size() > limits::kHiddenMax
                   ? PastBound("update_id", "hidden updates", limits::kHiddenMax)
                   : absl::OkStatus();
      },
      deadline);
}

base::Task<absl::Status> PersonalWrites::Unhide(PersonId actor, UpdateId update,
                                                base::MonotonicTime deadline) {
  SetChange change{SetKey::kHidden};
  change.removed.push_back(personal::HiddenMember(update));
  return ChangeOne(
      std::move(actor), std::move(change),
      [update](PersonalState& state, SetChange&) {
        state.Unhide(update);
        return absl::OkStatus();
      },
      deadline);
}

base::Task<absl::Status> PersonalWrites::Change(PersonId person, SetChange change,
                                                PersonalState after, Looks& looks) {
  const PartitionIndex partition = d_.layout.PartitionOf(person);
  change.without_memory |= change.added.empty();
  ScriptCall call = personal::ChangeSet(keys_, partition, person, change);
  auto running = Run(partition, std::move(call));
  const absl::StatusOr<redis::Reply> reply = co_await std::move(running);
  if (!reply.ok()) {
    co_return reply.status();
  }
  KLATCH_FAILPOINT("personal-written");
  d_.store.Publish(person, std::move(after));
  redis::Command look{"SMISMEMBER", personal::KeyOf(keys_, change.key, person)};
  look.args.insert(look.args.end(), change.added.begin(), change.added.end());
  look.args.insert(look.args.end(), change.removed.begin(), change.removed.end());
  looks.push_back({std::move(look), change.added.size()});
  co_return absl::OkStatus();
}

// A later call may have undone a change meanwhile: then the outcome is unknown, and a repetition does it anew.
base::Task<absl::Status> PersonalWrites::AwaitCopies(Looks looks) {
  if (d_.acks == nullptr) {
    co_return absl::OkStatus();
  }
  std::vector<redis::Command> commands;
  std::vector<size_t> added;
  for (Look& look : looks) {
    commands.push_back(std::move(look.command));
    added.push_back(look.added);
  }
  auto waiting = d_.acks->AwaitState(
      std::move(commands),
      [added = std::move(added)](std::span<const redis::Reply> replies) -> absl::Status {
        for (size_t look = 0; look < added.size(); ++look) {
          const redis::ReplyView members = replies[look].view();
          KLATCH_RETURN_IF_ERROR(redis::ToStatus(members));
          for (size_t i = 0; i < members.size(); ++i) {
            if ((members[i].integer() == 1) != (i < added[look])) {
              return base::Error(absl::StatusCode::kUnavailable, "it is there no longer");
            }
          }
        }
        return absl::OkStatus();
      });
  const absl::Status copied = co_await std::move(waiting);
  co_await d_.executor.Schedule();
  co_return base::Annotate(copied, "write personal state");
}

base::Task<absl::StatusOr<UpdateId>> PersonalWrites::RaiseMarker(PersonId actor, GroupId group,
                                                                 UpdateId marker,
                                                                 base::MonotonicTime deadline) {
  std::vector<PersonId> one{actor};
  auto taking = TakeTurns(std::move(one), deadline);
  const absl::StatusOr<Turns> turns = co_await std::move(taking);
  if (!turns.ok()) {
    co_return turns.status();
  }
  const PartitionIndex partition = d_.layout.PartitionOf(actor);
  ScriptCall call = personal::RaiseMarker(keys_, partition, actor, group, marker);
  auto running = Run(partition, std::move(call));
  const absl::StatusOr<redis::Reply> reply = co_await std::move(running);
  if (!reply.ok()) {
    co_return reply.status();
  }
  if (reply->view()[0].text() == "FULL") {
    co_return PastBound("group", "read markers", limits::kReadMarkersMax);
  }
  const auto raised = personal::DecodeMarker((*reply)[1].text());
  if (!raised) {
    co_return base::Error(absl::StatusCode::kInternal, "a script answered no marker");
  }
  co_return *raised;
}

base::Task<absl::StatusOr<v1::Profile>> PersonalWrites::ChangeProfile(
    PersonId actor, ProfileChange change, base::MonotonicTime deadline) {
  std::vector<PersonId> one{actor};
  auto taking = TakeTurns(std::move(one), deadline);
  const absl::StatusOr<Turns> turns = co_await std::move(taking);
  if (!turns.ok()) {
    co_return turns.status();
  }
  const std::string key = keys_.PersonHash(actor);
  redis::Command get{"HGET", key, personal::kProfileField};
  redis::Pipeline::CallAwaiter reading = d_.redis.Call(std::move(get));
  const absl::StatusOr<redis::Reply> stored = co_await reading;
  co_await d_.executor.Schedule();
  if (!stored.ok()) {
    // It was only read.
    co_return base::WithReason(stored.status(), "NOT_SENT");
  }
  if (stored->is_error()) {
    co_return RedisRefusal(stored->text(), key);
  }
  v1::Profile profile;
  if (!profile.ParseFromString(std::string(stored->text()))) {
    co_return base::Error(absl::StatusCode::kDataLoss, fmt::format("key {} holds no profile", key));
  }
  change.ApplyTo(profile);
  profile.clear_person();
  const PartitionIndex partition = d_.layout.PartitionOf(actor);
  ScriptCall call = personal::SetProfile(keys_, partition, actor, profile.SerializeAsString());
  auto running = Run(partition, std::move(call));
  const absl::StatusOr<redis::Reply> reply = co_await std::move(running);
  if (!reply.ok()) {
    co_return reply.status();
  }
  profile.set_person(actor.value());
  co_return profile;
}

absl::Status PersonalWrites::LostLease(PartitionIndex partition) {
  d_.note_lost(partition);
  return NotOwner("this node has lost the person's lease");
}

base::Task<absl::Status> PersonalWrites::SetFence(PartitionIndex partition) {
  const std::string fence = base::RandomBytes(kFenceBytes);
  redis::Command command =
      personal::SetFence(keys_.Lease(partition), d_.nonce_of(partition), fence);
  redis::Pipeline::CallAwaiter calling = d_.redis.Call(std::move(command));
  const absl::StatusOr<redis::Reply> reply = co_await calling;
  co_await d_.executor.Schedule();
  if (!reply.ok()) {
    // A fence is no change that a caller would have to know of.
    co_return base::WithReason(reply.status(), "NOT_SENT");
  }
  const absl::StatusOr<Verdict> verdict = ReadVerdict(reply->view());
  if (!verdict.ok()) {
    co_return verdict.status();
  }
  if (*verdict == Verdict::kLost) {
    co_return LostLease(partition);
  }
  fences_[partition.value()] = fence;
  co_return absl::OkStatus();
}

base::Task<absl::StatusOr<redis::Reply>> PersonalWrites::Run(PartitionIndex partition,
                                                             ScriptCall call) {
  std::string& fence = fences_[partition.value()];
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    if (fence.empty()) {
      auto fencing = SetFence(partition);
      const absl::Status fenced = co_await std::move(fencing);
      if (!fenced.ok()) {
        co_return fenced;
      }
    }
    redis::Command command = personal::CommandOf(call, d_.nonce_of(partition), fence);
    redis::Pipeline::CallAwaiter calling = d_.redis.Call(std::move(command));
    absl::StatusOr<redis::Reply> reply = co_await calling;
    co_await d_.executor.Schedule();
    if (!reply.ok()) {
      // What was sent may still be under way; it must not arrive behind what comes next.
      fence.clear();
      co_return base::Annotate(reply.status(), "write personal state");
    }
    const absl::StatusOr<Verdict> verdict = ReadVerdict(reply->view());
    if (!verdict.ok()) {
      co_return base::Annotate(verdict.status(), "write personal state");
    }
    if (*verdict == Verdict::kLost) {
      co_return LostLease(partition);
    }
    if (*verdict != Verdict::kFenced) {
      co_return std::move(reply);
    }
    fence.clear();
  }
  absl::Status fenced = base::Error(absl::StatusCode::kUnavailable,
                                    "write personal state: others' fences keep coming in between");
  co_return base::WithReason(std::move(fenced), "NOT_SENT");
}

}  // namespace klatch
