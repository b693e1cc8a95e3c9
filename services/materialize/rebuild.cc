// Rebuilding home timelines from the feeds of their groups, after copies were dropped or a stored
// timeline was found to hold something else. A part of the flusher, because only the flusher writes
// stored rings.

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "common/base/failpoint.h"
#include "services/materialize/due.h"
#include "services/materialize/flusher.h"
#include "services/materialize/stored_ring.h"
#include "services/model/body.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

// Between two batches; less of it if the worker is in haste, which can't keep all holes waiting so.
constexpr std::chrono::milliseconds kRebuildTime{50};
constexpr std::chrono::milliseconds kRebuildTimeInHaste{10};

// How much of the past that is open to a joiner is looked at, newest first: twice what a timeline
// holds, since an update's audience may exclude who came later.
constexpr size_t kPastExaminedMax = 2 * limits::kTimelineCap;

// The audience in a stored body's header (services/model/body.h). REQUIRES: there is a header.
AudienceRule AudienceOf(std::string_view header) { return static_cast<AudienceRule>(header[1]); }

// Whether the member sees what stands there in the group: posted while they were in it, or for
// whoever is a member now in a past that is open to them.
bool Sees(const Stay& stay, const Carry& carry) {
  return carry.position >= stay.joined ||
         (carry.audience == AudienceRule::kMembersNow && carry.position >= stay.visible_from);
}

}  // namespace

void Flusher::RebuildSome() {
  const base::MonotonicTime begin = d_.clock.Monotonic();
  base::MonotonicTime now = begin;
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
  } while (now <
           begin + (d_.worker.urgent() || d_.worker.tight() ? kRebuildTimeInHaste : kRebuildTime));
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
  KLATCH_FAILPOINT("timeline-rebuilt");
  news_.rebuilt.push_back({hole.person, hole.generation});
  rebuilds_.fetch_add(1, std::memory_order_relaxed);
  return absl::OkStatus();
}

// What is due to the person by the feeds, and what the stored ring holds anyway. Everything that
// was dropped before this read is in the feeds: the append that put it into the log also put it
// there.
absl::StatusOr<std::vector<uint64_t>> Flusher::CollectDue(uint32_t person) {
  std::vector<MemberGroup> groups;
  {
    const lockfree::EpochReclaimer::Guard guard(d_.epochs);
    const MembershipList* list = PersonAt(person).memberships.Load(guard);
    if (list != nullptr) {
      for (const Membership& membership : list->items()) {
        if (membership.stay.role != Role::kNone) {
          groups.push_back({membership.group, membership.stay});
        }
      }
    }
  }
  const redis::Command get{"GET", keys_.Timeline(PersonAt(person).id)};
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> stored, redis_->CallAll({&get, 1}));
  std::vector<uint64_t> ids;
  std::vector<PastUpdate> past;
  // A stored timeline that is no string is about to be replaced; a feed that is none is an error.
  if (!stored[0].is_error()) {
    ids = UnpackIds(stored[0].text());
  }
  for (std::span<const MemberGroup> rest = groups; !rest.empty();) {
    const auto asked = rest.first(std::min(rest.size(), limits::kPulledFeedsPerRead));
    KLATCH_RETURN_IF_ERROR(AddDue(asked, ids, past));
    KeepNewest(ids, limits::kTimelineCap);
    KeepExamined(ids, past);
    rest = rest.subspan(asked.size());
  }
  KLATCH_RETURN_IF_ERROR(AddPast(std::move(past), ids));
  return ids;
}

// Of what may be due, as much as is looked at, and nothing that would not stay.
void Flusher::KeepExamined(std::span<const uint64_t> ids, std::vector<PastUpdate>& past) {
  if (ids.size() == limits::kTimelineCap) {
    std::erase_if(past, [oldest = ids.back()](const PastUpdate& one) { return one.id < oldest; });
  }
  std::ranges::sort(past, std::ranges::greater(), &PastUpdate::id);
  past.resize(std::min(past.size(), kPastExaminedMax));
}

// Adds what the feeds of these groups hold for a member: what is certainly due, and what may be.
absl::Status Flusher::AddDue(std::span<const MemberGroup> groups, std::vector<uint64_t>& ids,
                             std::vector<PastUpdate>& past) {
  std::vector<redis::Command> commands;
  for (const MemberGroup& member : groups) {
    commands.push_back(redis::Command{"GET", keys_.Feed(d_.groups.At(member.group).id)});
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> feeds, redis_->CallAll(commands));
  for (size_t i = 0; i < groups.size(); ++i) {
    KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(feeds[i].view()), commands[i].args[1]));
    for (const uint64_t id : UnpackIds(feeds[i].text())) {
      const Due due = IsDue(UpdateId(id), groups[i].stay, written_positions_);
      if (due == Due::kYes) {
        ids.push_back(id);
      } else if (due == Due::kPerhaps) {
        past.push_back({id, groups[i].group, groups[i].stay});
      }
    }
  }
  return absl::OkStatus();
}

// Adds those of `past` that are for the person: the others would only take room. The newest of all
// are kept.
absl::Status Flusher::AddPast(std::vector<PastUpdate> past, std::vector<uint64_t>& ids) {
  if (past.empty()) {
    return absl::OkStatus();
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<std::optional<Carry>> carries, FindCarries(past));
  for (size_t i = 0; i < past.size(); ++i) {
    if (carries[i] && Sees(past[i].stay, *carries[i])) {
      ids.push_back(past[i].id);
    }
  }
  KeepNewest(ids, limits::kTimelineCap);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::optional<Carry>>> Flusher::FindCarries(
    std::span<const PastUpdate> past) {
  std::vector<redis::Command> commands;
  commands.reserve(past.size());
  for (const PastUpdate& update : past) {
    commands.push_back(redis::Command{"GETRANGE", keys_.Update(UpdateId(update.id)), "0", "1"});
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> headers, redis_->CallAll(commands));
  std::vector<std::optional<Carry>> found(past.size());
  std::vector<size_t> of_several;
  commands.clear();
  for (size_t i = 0; i < past.size(); ++i) {
    const std::string_view header = headers[i].text();
    if (header.size() < 2) {
      continue;
    }
    found[i] = Carry{Position(past[i].id), AudienceOf(header), CarryRefusal::kNone};
    if (IsOfSeveral(header)) {
      of_several.push_back(i);
      commands.push_back(
          redis::Command{"GET", keys_.Carry(d_.groups.At(past[i].group).id, UpdateId(past[i].id))});
    }
  }
  if (commands.empty()) {
    return found;
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> carries, redis_->CallAll(commands));
  for (size_t i = 0; i < of_several.size(); ++i) {
    std::optional<Carry>& own = found[of_several[i]];
    const AudienceRule of_the_whole = own->audience;
    own = DecodeCarry(carries[i].text());
    if (own && !own->is_carried()) {
      own.reset();
    } else if (own && of_the_whole != AudienceRule::kGroupDefault) {
      own->audience = of_the_whole;
    }
  }
  return found;
}

}  // namespace klatch
