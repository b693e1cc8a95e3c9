#include "services/materialize/flusher.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "common/obs/log.h"
#include "services/materialize/stored_ring.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

constexpr size_t kTimelinesPerStep = 4096;
constexpr std::chrono::milliseconds kTightCheck{5};
constexpr std::chrono::milliseconds kRetryPause{100};
constexpr std::chrono::milliseconds kWorkerAnswer{1000};
// Unflushed entries from which a timeline belongs to the deepest, and to the deeper ones.
constexpr size_t kDeepest = 96;
constexpr size_t kDeeper = 24;
constexpr std::chrono::seconds kIdleCheckpointInterval{10};
// Arguments that are collected before they are sent.
constexpr size_t kBytesPerRun = 8 << 20;

int64_t Nanoseconds(base::MonotonicTime time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

std::string EncodeView(const ViewChange& view) {
  std::string value = EncodeStay(view.stay);
  base::AppendLittleEndian<uint64_t>(value, view.position.value());
  return value;
}

}  // namespace

Flusher::Flusher(Dependencies dependencies, std::unique_ptr<redis::Connection> redis,
                 std::chrono::milliseconds interval)
    : d_(dependencies),
      keys_(dependencies.layout),
      interval_(interval),
      redis_(std::move(redis)),
      scripts_(keys_, [this](PartitionIndex partition) -> const std::string& {
        return d_.leases.NonceOf(partition);
      }) {}

Flusher::~Flusher() { Stop(); }

void Flusher::Start() {
  written_until_ns_.store(Nanoseconds(d_.clock.Monotonic()), std::memory_order_relaxed);
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), fmt::format("flusher-{}", d_.worker.index()).c_str());
    Run();
  });
}

void Flusher::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) {
    thread_.join();
  }
}

bool Flusher::Drain(base::MonotonicTime deadline) {
  std::unique_lock lock(mutex_);
  const uint64_t ticket = ++drain_asked_;
  wake_.notify_one();
  return drained_.wait_until(lock, deadline, [&] { return drain_done_ >= ticket; });
}

base::MonotonicTime Flusher::written_until() const {
  return base::MonotonicTime(
      std::chrono::nanoseconds(written_until_ns_.load(std::memory_order_relaxed)));
}

void Flusher::Run() {
  while (true) {
    uint64_t drain = 0;
    {
      std::lock_guard lock(mutex_);
      if (stopping_) {
        return;
      }
      drain = drain_asked_;
    }
    // What is left of a failed round was taken before this drain was asked for.
    const bool resumed = batch_.has_value();
    const bool written = DoWork();
    std::unique_lock lock(mutex_);
    if (written && resumed) {
      continue;
    }
    if (written) {
      drain_done_ = std::max(drain_done_, drain);
      drained_.notify_all();
    }
    if (!written) {
      wake_.wait_for(lock, kRetryPause, [this] { return stopping_; });
      continue;
    }
    lock.unlock();
    WaitForWork();
  }
}

void Flusher::NoteHole(const HoleMark& hole) {
  auto known = std::ranges::find(holes_, hole.person, &HoleMark::person);
  if (known != holes_.end()) {
    // One rebuild mends all that was lost before it begins.
    known->generation = std::max(known->generation, hole.generation);
    return;
  }
  holes_.push_back(hole);
}

void Flusher::WaitForWork() {
  const base::MonotonicTime next = batch_taken_ + interval_;
  std::unique_lock lock(mutex_);
  while (!stopping_ && drain_done_ == drain_asked_ && !d_.worker.urgent() && !d_.worker.tight() &&
         holes_.empty() && d_.clock.Monotonic() < next) {
    wake_.wait_for(lock, kTightCheck);
  }
}

bool Flusher::DoWork() {
  if (!batch_) {
    batch_taken_ = d_.clock.Monotonic();
    d_.worker.ClearPressure();
    batch_ = d_.worker.TakeBatch(std::exchange(rebuilt_holes_, {}), kWorkerAnswer);
    if (!batch_) {
      return false;
    }
    for (const HoleMark& hole : batch_->holes) {
      NoteHole(hole);
    }
    std::ranges::stable_sort(batch_->spilled, {},
                             [](const SpilledEntry& entry) { return entry.timeline.value; });
    for (const uint32_t person : batch_->new_persons) {
      // First seen in the log after everything that Redis could hold about it was loaded: nothing
      // is there.
      StoredOf({person, TimelineRef::Kind::kHome}).known = true;
      StoredOf({person, TimelineRef::Kind::kPosts}).known = true;
    }
  }
  absl::Status status = EnsureConnected();
  if (status.ok()) {
    status = WriteBatch(*batch_);
  }
  if (!status.ok()) {
    failures_.fetch_add(1, std::memory_order_relaxed);
    if (const auto suppressed = error_lines_.Admit(d_.clock.Monotonic())) {
      obs::Log(obs::Level::kError, "flusher", "can't write; trying again",
               {{"error", base::MessageOf(status)}, {"suppressed", *suppressed}});
    }
    return false;
  }
  memberships_flushed_.fetch_add(batch_->views.size(), std::memory_order_relaxed);
  written_positions_ = batch_->applied;
  batch_.reset();
  written_until_ns_.store(Nanoseconds(batch_taken_), std::memory_order_relaxed);
  RebuildSome();
  return true;
}

absl::Status Flusher::EnsureConnected() {
  if (d_.guard.changed()) {
    // What this flusher knows to be written may not be there any more; the node loads again.
    return base::Error(absl::StatusCode::kUnavailable, "Redis was restarted");
  }
  if (redis_->connected()) {
    return absl::OkStatus();
  }
  KLATCH_RETURN_IF_ERROR(redis_->Reconnect());
  return d_.guard.Check(*redis_);
}

absl::Status Flusher::WriteBatch(const FlushBatch& batch) {
  KLATCH_RETURN_IF_ERROR(WriteFacts(batch));
  KLATCH_RETURN_IF_ERROR(WriteTimelines(batch.timelines));
  KLATCH_RETURN_IF_ERROR(WriteCheckpoint(batch.applied));
  return RemoveTombstones(batch);
}

absl::Status Flusher::WriteFacts(const FlushBatch& batch) {
  for (const uint32_t index : batch.new_persons) {
    const Person& person = PersonAt(index);
    scripts_.SetAdd(person.partition, keys_.Persons(person.partition), person.id.value());
    if (scripts_.bytes() > kBytesPerRun) {
      KLATCH_RETURN_IF_ERROR(RunScripts());
    }
  }
  for (const HoleMark& hole : batch.holes) {
    const Person& person = PersonAt(hole.person);
    scripts_.HashSet(person.partition, keys_.Holes(person.partition),
                     {person.id.value(), std::to_string(hole.since)});
  }
  for (const uint32_t index : batch.mended) {
    const Person& person = PersonAt(index);
    scripts_.HashDelete(person.partition, keys_.Holes(person.partition), person.id.value());
  }
  return WriteViews(batch.views);
}

absl::Status Flusher::WriteViews(std::vector<ViewChange> views) {
  // One command per person; stable, so that the last change of a group comes last and wins.
  std::ranges::stable_sort(views, [this](const ViewChange& a, const ViewChange& b) {
    return std::pair(PersonAt(a.person).partition, a.person) <
           std::pair(PersonAt(b.person).partition, b.person);
  });
  std::vector<std::string> fields;
  for (size_t i = 0; i < views.size(); ++i) {
    fields.push_back(d_.groups.At(views[i].group).id.value());
    fields.push_back(EncodeView(views[i]));
    const bool last_of_person = i + 1 == views.size() || views[i + 1].person != views[i].person;
    if (last_of_person || fields.size() == 2 * FlushScripts::kHashFieldsMax) {
      const Person& person = PersonAt(views[i].person);
      scripts_.HashSet(person.partition, keys_.PersonGroups(person.id), std::exchange(fields, {}));
    }
    if (scripts_.bytes() > kBytesPerRun) {
      KLATCH_RETURN_IF_ERROR(RunScripts());
    }
  }
  return RunScripts();
}

absl::Status Flusher::WriteTimelines(std::vector<TimelineRef> timelines) {
  const auto depth_class = [this](TimelineRef timeline) {
    const size_t unflushed = RingOf(timeline).Unflushed();
    return unflushed >= kDeepest ? 0 : unflushed >= kDeeper ? 1 : 2;
  };
  struct Keyed {
    uint32_t order;
    TimelineRef timeline;
  };
  std::vector<Keyed> keyed;
  keyed.reserve(timelines.size());
  for (const TimelineRef timeline : timelines) {
    const uint32_t partition = PersonAt(timeline.person()).partition.value();
    keyed.push_back({static_cast<uint32_t>(depth_class(timeline)) << 16 | partition, timeline});
  }
  std::ranges::sort(keyed, {}, &Keyed::order);
  std::ranges::transform(keyed, timelines.begin(), &Keyed::timeline);
  const std::span<const TimelineRef> all = timelines;
  for (size_t begin = 0; begin < all.size(); begin += kTimelinesPerStep) {
    KLATCH_RETURN_IF_ERROR(
        WriteStep(all.subspan(begin, std::min(kTimelinesPerStep, all.size() - begin))));
  }
  return absl::OkStatus();
}

absl::Status Flusher::WriteStep(std::span<const TimelineRef> timelines) {
  KLATCH_RETURN_IF_ERROR(LoadUnknown(timelines));
  std::vector<Pending> pending;
  pending.reserve(timelines.size());
  for (const TimelineRef timeline : timelines) {
    PlanTimeline(timeline, pending);
  }
  absl::Status status = RunScripts();
  if (status.code() == absl::StatusCode::kFailedPrecondition) {
    // Some key is no longer what we wrote. Read all of them again before the next attempt.
    for (const TimelineRef timeline : timelines) {
      StoredOf(timeline).known = false;
    }
  }
  KLATCH_RETURN_IF_ERROR(status);
  size_t entries = 0;
  for (const Pending& written : pending) {
    StoredOf(written.timeline) = written.after;
    RingOf(written.timeline).MarkFlushed(written.head);
    entries += written.entries;
  }
  flushed_.fetch_add(entries, std::memory_order_relaxed);
  return absl::OkStatus();
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
  for (size_t i = 0; i < unknown.size(); ++i) {
    // A key of another type holds nothing of ours: it is replaced, and the rest comes from the
    // feeds.
    const bool foreign = replies[i].is_error() && replies[i].text().starts_with("WRONGTYPE");
    if (replies[i].is_error() && !foreign) {
      return base::Annotate(redis::ToStatus(replies[i].view()), "read stored timeline");
    }
    if (foreign && unknown[i].kind() == TimelineRef::Kind::kHome) {
      const uint32_t person = unknown[i].person();
      NoteHole({person, 0, PersonAt(person).hole_generation.load(std::memory_order_relaxed)});
    }
    loaded_[unknown[i].value] = foreign ? std::vector<uint64_t>() : UnpackIds(replies[i].text());
  }
  return absl::OkStatus();
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
  pending.push_back({timeline, head, entries_.size(), plan.after});
}

void Flusher::AddSpilled(TimelineRef timeline) {
  const auto spilled =
      std::ranges::equal_range(batch_->spilled, timeline.value, {},
                               [](const SpilledEntry& entry) { return entry.timeline.value; });
  for (const SpilledEntry& entry : spilled) {
    ids_.push_back(entry.id);
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
        scripts_.SetRange(partition, key, write.offset, std::move(write.value));
        break;
    }
  }
}

absl::Status Flusher::WriteCheckpoint(const std::vector<Position>& applied) {
  if (applied == checkpoint_) {
    return absl::OkStatus();
  }
  // When nothing but time has passed, a replay from the old checkpoint costs nothing, and moving it
  // costs half a kilobyte of append-only file per partition.
  const base::MonotonicTime now = d_.clock.Monotonic();
  if (!batch_->HasChanges() && now - checkpoint_written_ < kIdleCheckpointInterval) {
    return absl::OkStatus();
  }
  std::string packed;
  for (const Position position : applied) {
    base::AppendLittleEndian<uint64_t>(packed, position.value());
  }
  for (uint32_t i = 0; i < d_.layout.partition_count; ++i) {
    if (d_.worker.Owns(PartitionIndex(i))) {
      scripts_.Set(PartitionIndex(i), keys_.Checkpoint(PartitionIndex(i)), packed);
    }
  }
  KLATCH_RETURN_IF_ERROR(RunScripts());
  checkpoint_written_ = now;
  checkpoint_ = applied;
  return absl::OkStatus();
}

absl::Status Flusher::RemoveTombstones(const FlushBatch& batch) {
  // Who left and came back within the batch has no tombstone: the last change counts.
  std::unordered_map<uint64_t, const ViewChange*> last;
  for (const ViewChange& view : batch.views) {
    last[uint64_t{view.person} << 32 | view.group.value()] = &view;
  }
  for (const auto& [key, view] : last) {
    if (view->stay.role == Role::kNone) {
      const Person& person = PersonAt(view->person);
      scripts_.HashDelete(person.partition, keys_.PersonGroups(person.id),
                          d_.groups.At(view->group).id.value());
    }
  }
  return RunScripts();
}

absl::Status Flusher::RunScripts() {
  if (scripts_.empty()) {
    return absl::OkStatus();
  }
  std::vector<PartitionIndex> lost;
  absl::Status status = scripts_.Run(*redis_, lost);
  for (const PartitionIndex partition : lost) {
    d_.leases.NoteLost(partition);
  }
  return status;
}

StoredRing& Flusher::StoredOf(TimelineRef timeline) {
  if (timeline.value >= stored_.size()) {
    stored_.resize(std::max<size_t>(timeline.value + 1, stored_.size() * 2));
  }
  return stored_[timeline.value];
}

lockfree::TimelineRing& Flusher::RingOf(TimelineRef timeline) {
  PersonStore& persons = d_.worker.persons();
  return timeline.kind() == TimelineRef::Kind::kHome ? persons.Home(timeline.person())
                                                     : persons.Posts(timeline.person());
}

std::string Flusher::KeyOf(TimelineRef timeline) const {
  const PersonId& person = PersonAt(timeline.person()).id;
  return timeline.kind() == TimelineRef::Kind::kHome ? keys_.Timeline(person) : keys_.Posts(person);
}

}  // namespace klatch
