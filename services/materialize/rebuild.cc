// Rebuilding home timelines from the feeds of their groups, after copies were dropped or a stored
// timeline was found to hold something else. A part of the flusher, because only the flusher writes
// stored rings.

#include <algorithm>
#include <utility>

#include "services/materialize/flusher.h"
#include "services/materialize/stored_ring.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

// Between two batches, unless the worker is in haste; at least one hole, so that haste can't keep
// all of them waiting.
constexpr std::chrono::milliseconds kRebuildTime{50};

struct Source {
  GroupIndex group;
  Position joined;
};

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
          sources.push_back({membership.group, membership.stay.joined});
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
      if (update >= sources[i].joined && update <= written_positions_[update.shard().value()]) {
        ids.push_back(id);
      }
    }
    KeepNewest(ids, limits::kTimelineCap);
  }
  return ids;
}

}  // namespace klatch
