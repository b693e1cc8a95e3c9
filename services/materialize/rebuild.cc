// Rebuilding home timelines from the feeds of their groups, after copies were dropped or a stored
// timeline was found to hold something else. A part of the flusher, because only the flusher writes
// stored rings.

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "services/materialize/flusher.h"
#include "services/materialize/stored_ring.h"
#include "services/model/body.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

// Between two batches, unless the worker is in haste; at least one hole, so that haste can't keep
// all of them waiting.
constexpr std::chrono::milliseconds kRebuildTime{50};

// How much of the past that is open to a joiner is looked at, newest first: twice what a timeline
// holds, since an update's audience may exclude who came later.
constexpr size_t kPastExaminedMax = 2 * limits::kTimelineCap;

// One of the person's groups.
struct Source {
  GroupIndex group;
  Stay stay;
};

// The audience in a stored body's header (services/model/body.h); nothing if there is no body.
std::optional<AudienceRule> AudienceOf(std::string_view header) {
  return header.size() < 2 ? std::nullopt : std::optional(static_cast<AudienceRule>(header[1]));
}

}  // namespace

void Flusher::RebuildSome() {
  const base::MonotonicTime end = d_.clock.Monotonic() + kRebuildTime;
  base::MonotonicTime now = d_.clock.Monotonic();
  do {
    const std::optional<HoleMark> hole = holes_.TakeDue(now);
    if (!hole) {
      return;
    }
    absl::Status status = Rebuild(*hole);
    now = d_.clock.Monotonic();
    if (status.ok()) {
      holes_.NoteRebuilt(*hole);
      continue;
    }
    holes_.NoteFailed(*hole, now);
    if (const auto suppressed = error_lines_.Admit(now)) {
      obs::Log(obs::Level::kError, "flusher", "can't rebuild a timeline; trying again",
               {{"error", base::MessageOf(status)}, {"suppressed", *suppressed}});
    }
    if (!redis_->connected()) {
      return;
    }
  } while (now < end && !d_.worker.urgent() && !d_.worker.tight());
}

absl::Status Flusher::Rebuild(const HoleMark& hole) {
  const TimelineRef timeline(hole.person, TimelineRef::Kind::kHome);
  KLATCH_ASSIGN_OR_RETURN(std::vector<uint64_t> ids, CollectDue(hole.person));
  RingPlan plan = PlanRewrite(std::move(ids));
  AddWrites(PersonAt(hole.person).partition, KeyOf(timeline), std::move(plan.writes));
  // The next flush reads the ring and merges: what waits in memory may be in the feeds, too.
  StoredOf(timeline).known = false;
  FlushScripts::Findings findings;
  KLATCH_RETURN_IF_ERROR(RunScripts(findings));
  news_.rebuilt.push_back({hole.person, hole.generation});
  rebuilds_.fetch_add(1, std::memory_order_relaxed);
  return absl::OkStatus();
}

// What is due to the person by the feeds, and what the stored ring holds anyway. Everything that
// was dropped before this read is in the feeds: the append that put it into the log also put it
// there.
absl::StatusOr<std::vector<uint64_t>> Flusher::CollectDue(uint32_t person) {
  std::vector<Source> sources;
  {
    const lockfree::EpochReclaimer::Guard guard(d_.epochs);
    const MembershipList* list = PersonAt(person).memberships.Load(guard);
    if (list != nullptr) {
      for (const Membership& membership : list->items()) {
        if (membership.stay.role != Role::kNone) {
          sources.push_back({membership.group, membership.stay});
        }
      }
    }
  }
  std::vector<redis::Command> commands;
  commands.push_back(redis::Command{"GET", keys_.Timeline(PersonAt(person).id)});
  for (const Source& source : sources) {
    commands.push_back(redis::Command{"GET", keys_.Feed(d_.groups.At(source.group).id)});
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> replies, redis_->CallAll(commands));
  std::vector<uint64_t> ids;
  std::vector<uint64_t> past;
  // A stored timeline that is no string is about to be replaced; a feed that is none is an error.
  if (!replies[0].is_error()) {
    ids = UnpackIds(replies[0].text());
  }
  for (size_t i = 0; i < sources.size(); ++i) {
    KLATCH_RETURN_IF_ERROR(
        base::Annotate(redis::ToStatus(replies[i + 1].view()), commands[i + 1].args[1]));
    for (const uint64_t id : UnpackIds(replies[i + 1].text())) {
      const UpdateId update(id);
      // Behind what is applied a leave may stand that the memberships above don't know of; those
      // ids come by delivery.
      if (update > written_positions_[update.shard().value()]) {
        continue;
      }
      if (update >= sources[i].stay.joined) {
        ids.push_back(id);
      } else if (update >= sources[i].stay.visible_from) {
        past.push_back(id);
      }
    }
    KeepNewest(ids, limits::kTimelineCap);
    KeepNewest(past, kPastExaminedMax);
  }
  KLATCH_RETURN_IF_ERROR(AddOpenPast(past, ids));
  return ids;
}

// Adds those of `past` that are for whoever is a member now: the others are nothing to who joined
// after them, and would only take room. The newest of all are kept.
absl::Status Flusher::AddOpenPast(const std::vector<uint64_t>& past, std::vector<uint64_t>& ids) {
  if (past.empty()) {
    return absl::OkStatus();
  }
  std::vector<redis::Command> commands;
  commands.reserve(past.size());
  for (const uint64_t id : past) {
    commands.push_back(redis::Command{"GETRANGE", keys_.Update(UpdateId(id)), "0", "1"});
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> headers, redis_->CallAll(commands));
  for (size_t i = 0; i < past.size(); ++i) {
    if (AudienceOf(headers[i].text()) == AudienceRule::kMembersNow) {
      ids.push_back(past[i]);
    }
  }
  KeepNewest(ids, limits::kTimelineCap);
  return absl::OkStatus();
}

}  // namespace klatch
