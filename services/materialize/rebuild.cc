// Rebuilding home timelines from the feeds of their groups, after copies were dropped or a stored
// timeline was found to hold something else. A part of the flusher, because only the flusher writes
// stored rings.

#include <algorithm>
#include <utility>

#include "common/base/failpoint.h"
#include "services/materialize/flusher.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

// Between two batches; less of it if the worker is in haste, which can't keep all holes waiting so.
constexpr std::chrono::milliseconds kRebuildTime{50};
constexpr std::chrono::milliseconds kRebuildTimeInHaste{10};
// At once: many share feeds, and each waits for the others.
constexpr size_t kPersonsPerRebuild = 64;
constexpr size_t kPersonsPerRebuildInHaste = 16;

}  // namespace

void Flusher::RebuildSome() {
  const base::MonotonicTime begin = d_.clock.Monotonic();
  base::MonotonicTime now = begin;
  bool is_hasty = false;
  do {
    is_hasty = d_.worker.urgent() || d_.worker.tight();
    const std::vector<HoleMark> holes =
        holes_.TakeDue(now, is_hasty ? kPersonsPerRebuildInHaste : kPersonsPerRebuild);
    if (holes.empty()) {
      return;
    }
    RebuildAll(holes);
    now = d_.clock.Monotonic();
    if (!redis_->connected()) {
      return;
    }
  } while (now < begin + (is_hasty ? kRebuildTimeInHaste : kRebuildTime));
}

void Flusher::RebuildAll(std::span<const HoleMark> holes) {
  std::vector<DueReader::Asked> asked;
  asked.reserve(holes.size());
  for (const HoleMark& hole : holes) {
    asked.push_back({PersonAt(hole.person).id, GroupsOf(hole.person)});
  }
  const absl::StatusOr<std::vector<DueReader::Timeline>> due =
      due_reader_.Read(*redis_, asked, written_positions_);
  absl::Status written = due.status();
  if (due.ok()) {
    for (size_t i = 0; i < holes.size(); ++i) {
      if ((*due)[i].ok()) {
        AddRebuilt(holes[i].person, *(*due)[i]);
      }
    }
    FlushScripts::Findings findings;
    written = RunScripts(findings);
    KLATCH_FAILPOINT("timeline-rebuilt");
  }
  for (size_t i = 0; i < holes.size(); ++i) {
    NoteRebuild(holes[i], written.ok() ? (*due)[i].status() : written);
  }
}

std::vector<DueReader::MemberGroup> Flusher::GroupsOf(uint32_t person) const {
  std::vector<DueReader::MemberGroup> groups;
  const lockfree::EpochReclaimer::Guard guard(d_.epochs);
  const MembershipList* list = PersonAt(person).memberships.Load(guard);
  for (const Membership& membership : list ? list->items() : std::span<const Membership>()) {
    if (membership.stay.role != Role::kNone) {
      groups.push_back({membership.group, membership.stay});
    }
  }
  return groups;
}

void Flusher::AddRebuilt(uint32_t person, std::vector<uint64_t> ids) {
  const TimelineRef timeline(person, TimelineRef::Kind::kHome);
  RingPlan plan = PlanRewrite(std::move(ids));
  AddWrites(PersonAt(person).partition, KeyOf(timeline), std::move(plan.writes));
  // The next flush reads the ring and merges: what waits in memory may be in the feeds, too.
  StoredOf(timeline).known = false;
}

void Flusher::NoteRebuild(const HoleMark& hole, const absl::Status& status) {
  if (status.ok()) {
    holes_.NoteRebuilt(hole);
    news_.rebuilt.push_back({hole.person, hole.generation});
    rebuilds_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  const base::MonotonicTime now = d_.clock.Monotonic();
  holes_.NoteFailed(hole, now);
  if (const auto suppressed = error_lines_.Admit(now)) {
    obs::Log(obs::Level::kError, "flusher", "can't rebuild a timeline; trying again",
             {{"error", base::MessageOf(status)}, {"suppressed", *suppressed}});
  }
}

}  // namespace klatch
