// How a flusher writes timelines: many at a time, what waits in memory behind what is stored.

#include <algorithm>
#include <set>
#include <utility>

#include "common/base/failpoint.h"
#include "common/base/fetch_ahead.h"
#include "services/materialize/flusher.h"
#include "services/materialize/stored_ring.h"

namespace klatch {
namespace {

constexpr size_t kTimelinesPerStep = 4096;
// Unflushed entries from which a timeline is written before the others.
constexpr size_t kDeep = 128;

}  // namespace

absl::Status Flusher::WriteTimelines(std::vector<TimelineRef> timelines) {
  order_.Sort(timelines, [this](TimelineRef timeline) -> WriteOrder::Facts {
    return {.partition = PersonAt(timeline.person()).partition,
            .is_deep = RingOf(timeline).Unflushed() >= kDeep};
  });
  const std::span<const TimelineRef> all = timelines;
  for (size_t begin = 0; begin < all.size(); begin += kTimelinesPerStep) {
    KLATCH_RETURN_IF_ERROR(
        WriteStep(all.subspan(begin, std::min(kTimelinesPerStep, all.size() - begin))));
  }
  return absl::OkStatus();
}

absl::Status Flusher::WriteStep(std::span<const TimelineRef> timelines) {
  order_.NoteStep(timelines);
  std::vector<TimelineRef> wrong;
  KLATCH_RETURN_IF_ERROR(WriteOnce(timelines, wrong));
  if (wrong.empty()) {
    return absl::OkStatus();
  }
  // They are read first now, and replaced.
  const std::vector<TimelineRef> again = std::exchange(wrong, {});
  KLATCH_RETURN_IF_ERROR(WriteOnce(again, wrong));
  return wrong.empty() ? absl::OkStatus() : AnotherType(KeyOf(wrong[0]));
}

absl::Status Flusher::WriteOnce(std::span<const TimelineRef> timelines,
                                std::vector<TimelineRef>& wrong) {
  KLATCH_RETURN_IF_ERROR(LoadUnknown(timelines));
  std::vector<Pending> pending;
  pending.reserve(timelines.size());
  base::FetchAhead(
      timelines,
      [this](TimelineRef timeline) __attribute__((always_inline)) {
        __builtin_prefetch(&RingOf(timeline));
        __builtin_prefetch(&PersonAt(timeline.person()));
        __builtin_prefetch(&StoredOf(timeline));
      },
      [this](TimelineRef timeline) __attribute__((always_inline)) {
        RingOf(timeline).PrefetchNextSlot(d_.worker.persons().arena());
      },
      [&](TimelineRef timeline) { PlanTimeline(timeline, pending); });
  FlushScripts::Findings findings;
  KLATCH_RETURN_IF_ERROR(RunScripts(findings));
  std::set<std::string> wrong_keys;
  for (FlushScripts::WrongType& found : findings.wrong_type) {
    wrong_keys.insert(std::move(found.key));
  }
  size_t entries = 0;
  std::chrono::milliseconds step_age{1};
  const int64_t now = base::UnixMs(d_.clock.Wall());
  for (const Pending& written : pending) {
    if (!wrong_keys.empty() && wrong_keys.contains(KeyOf(written.timeline))) {
      StoredOf(written.timeline).known = false;
      wrong.push_back(written.timeline);
      continue;
    }
    StoredOf(written.timeline) = written.after;
    RingOf(written.timeline).MarkFlushed(written.head);
    spilled_.erase(written.timeline.value);
    entries += written.entries;
    step_age =
        std::max(step_age, std::chrono::milliseconds(now - Position(written.oldest).unix_ms()));
  }
  if (!pending.empty()) {
    batch_age_ = std::max(batch_age_, step_age);
    NoteWaiting(step_age);
    KLATCH_FAILPOINT("step-written");
  }
  flushed_.fetch_add(entries, std::memory_order_relaxed);
  return absl::OkStatus();
}

void Flusher::NoteWaiting(std::chrono::milliseconds step_age) {
  // Nothing of what waits was applied before the batch before was taken; a replay brings old records.
  const base::MonotonicTime oldest = std::max(d_.clock.Monotonic() - step_age, batch_before_taken_);
  waiting_since_ns_.store(Nanoseconds(oldest), std::memory_order_relaxed);
}

absl::Status Flusher::LoadUnknown(std::span<const TimelineRef> timelines) {
  loaded_.clear();
  std::vector<redis::Command> commands;
  std::vector<TimelineRef> unknown;
  for (const TimelineRef timeline : timelines) {
    // Even if nothing seems to wait: the worker may append before the plan is made.
    if (!StoredOf(timeline).known) {
      commands.push_back(redis::Command{"GET", KeyOf(timeline)});
      unknown.push_back(timeline);
    }
  }
  if (unknown.empty()) {
    return absl::OkStatus();
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> replies, redis_->CallAll(commands));
  std::vector<uint32_t> replaced;
  for (size_t i = 0; i < unknown.size(); ++i) {
    const absl::Status status = redis::ToStatus(replies[i].view());
    if (status.code() == absl::StatusCode::kFailedPrecondition) {
      // Another type: it holds nothing of ours.
      loaded_[unknown[i].value] = {};
      if (unknown[i].kind() == TimelineRef::Kind::kHome) {
        LogReplaced(KeyOf(unknown[i]), "rebuilt from the feeds");
        replaced.push_back(unknown[i].person());
      } else {
        LogReplaced(KeyOf(unknown[i]), "what this person posted before is gone from the profile");
      }
      continue;
    }
    KLATCH_RETURN_IF_ERROR(base::Annotate(status, "read stored timeline"));
    loaded_[unknown[i].value] = UnpackIds(replies[i].text());
  }
  return MarkReplaced(std::move(replaced));
}

// Before a replaced home timeline is written, pages and the next start must know that it is short.
absl::Status Flusher::MarkReplaced(std::vector<uint32_t> persons) {
  if (persons.empty()) {
    return absl::OkStatus();
  }
  for (const uint32_t index : persons) {
    const Person& person = PersonAt(index);
    scripts_.HashSet(person.partition, keys_.Holes(person.partition), {person.id.value(), "1"});
  }
  KLATCH_RETURN_IF_ERROR(RunFacts());
  // The next batch names these holes, which queues their rebuild.
  return d_.worker.Tell({.replaced = std::move(persons)}, kWorkerAnswer) ? absl::OkStatus()
                                                                         : WorkerSilent();
}

void Flusher::PlanTimeline(TimelineRef timeline, std::vector<Pending>& pending) {
  lockfree::TimelineRing& ring = RingOf(timeline);
  const uint64_t head = ring.CopyUnflushed(d_.worker.persons().arena(), entries_);
  ids_.clear();
  for (const lockfree::TimelineEntry& entry : entries_) {
    ids_.push_back(entry.id);
  }
  AddSpilled(timeline);
  if (ids_.empty()) {
    return;
  }
  const uint64_t oldest = std::ranges::min(ids_);
  RingPlan plan;
  if (const auto loaded = loaded_.find(timeline.value); loaded != loaded_.end()) {
    // A former flusher may have written some of these already, before its checkpoint: they are
    // merged, not appended, so that no id takes two slots.
    ids_.insert(ids_.end(), loaded->second.begin(), loaded->second.end());
    plan = PlanRewrite(ids_);
  } else {
    plan = PlanAppend(StoredOf(timeline), ids_);
  }
  AddWrites(PersonAt(timeline.person()).partition, KeyOf(timeline), std::move(plan.writes));
  pending.push_back({timeline, head, entries_.size(), oldest, plan.after});
}

void Flusher::AddSpilled(TimelineRef timeline) {
  if (const auto spilled = spilled_.find(timeline.value); spilled != spilled_.end()) {
    ids_.insert(ids_.end(), spilled->second.begin(), spilled->second.end());
  }
}

void Flusher::AddWrites(PartitionIndex partition, const std::string& key,
                        std::vector<RingWrite> writes) {
  for (RingWrite& write : writes) {
    switch (write.kind) {
      case RingWrite::Kind::kSet:
        scripts_.Set(partition, key, std::move(write.value));
        break;
      case RingWrite::Kind::kSetRange:
        ranges_.SetRange(partition, key, write.offset, std::move(write.value));
        break;
      case RingWrite::Kind::kGrow:
        scripts_.Grow(partition, key, write.offset);
        break;
    }
  }
}

}  // namespace klatch
