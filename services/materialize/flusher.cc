#include "services/materialize/flusher.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <utility>

#include "common/base/failpoint.h"
#include "common/obs/log.h"

namespace klatch {
namespace {

constexpr std::chrono::milliseconds kTightCheck{5};
constexpr std::chrono::milliseconds kRetryPauseMin{100};
constexpr std::chrono::milliseconds kRetryPauseMax{1000};
// Between two rounds that are only for rebuilds, so that readers have Redis to themselves too.
constexpr std::chrono::milliseconds kRebuildGap{30};

}  // namespace

int64_t Flusher::Nanoseconds(base::MonotonicTime time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

Flusher::Flusher(Dependencies dependencies, std::unique_ptr<redis::Connection> redis,
                 std::chrono::milliseconds interval)
    : d_(dependencies),
      keys_(dependencies.layout),
      interval_(interval),
      redis_(std::move(redis)),
      scripts_(keys_, NonceOf()),
      ranges_(keys_, NonceOf(), scripts_),
      due_reader_(dependencies.layout, dependencies.groups) {
  for (uint32_t i = 0; i < d_.layout.partition_count; ++i) {
    if (d_.worker.Owns(PartitionIndex(i))) {
      partitions_.emplace_back(i);
    }
  }
}

Flusher::~Flusher() { Stop(); }

void Flusher::Begin() {
  batch_before_taken_ = d_.clock.Monotonic();
  written_until_ns_.store(Nanoseconds(batch_before_taken_), std::memory_order_relaxed);
  waiting_since_ns_.store(Nanoseconds(batch_before_taken_), std::memory_order_relaxed);
}

void Flusher::Start() {
  Begin();
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
  const uint64_t ticket = AskDrain();
  std::unique_lock lock(mutex_);
  return drained_.wait_until(lock, deadline, [&] { return drain_done_ >= ticket; });
}

uint64_t Flusher::AskDrain() {
  std::lock_guard lock(mutex_);
  wake_.notify_one();
  return ++drain_asked_;
}

bool Flusher::Drained(uint64_t ticket) const {
  std::lock_guard lock(mutex_);
  return drain_done_ >= ticket;
}

base::MonotonicTime Flusher::written_until() const {
  return base::MonotonicTime(
      std::chrono::nanoseconds(written_until_ns_.load(std::memory_order_relaxed)));
}

base::MonotonicTime Flusher::waiting_since() const {
  return base::MonotonicTime(
      std::chrono::nanoseconds(waiting_since_ns_.load(std::memory_order_relaxed)));
}

std::optional<std::string> Flusher::stuck(std::chrono::milliseconds at_least) const {
  std::lock_guard lock(mutex_);
  if (failure_.empty() || d_.clock.Monotonic() - failing_since_ < at_least) {
    return std::nullopt;
  }
  return failure_;
}

void Flusher::Run() {
  std::chrono::milliseconds pause = kRetryPauseMin;
  while (!stopping()) {
    const Round round = DoWork();
    if (round == Round::kFailed) {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, pause, [this] { return stopping_; });
      pause = std::min(2 * pause, kRetryPauseMax);
      continue;
    }
    pause = kRetryPauseMin;
    if (round == Round::kWritten) {
      WaitForWork();
    }
  }
}

bool Flusher::stopping() const {
  std::lock_guard lock(mutex_);
  return stopping_;
}

Flusher::Round Flusher::DoWork() {
  uint64_t drain = 0;
  {
    std::lock_guard lock(mutex_);
    drain = drain_asked_;
  }
  const Round round = WriteRound();
  if (round == Round::kWritten) {
    std::lock_guard lock(mutex_);
    drain_done_ = std::max(drain_done_, drain);
    drained_.notify_all();
  }
  return round;
}

void Flusher::WaitForWork() {
  base::MonotonicTime next = batch_taken_ + interval_;
  if (const auto due = holes_.NextDue()) {
    next = std::min(next, std::max(*due, d_.clock.Monotonic() + kRebuildGap));
  }
  std::unique_lock lock(mutex_);
  while (!stopping_ && drain_done_ == drain_asked_ && !d_.worker.urgent() && !d_.worker.tight() &&
         d_.clock.Monotonic() < next) {
    wake_.wait_for(lock, kTightCheck);
  }
}

Flusher::Round Flusher::WriteRound() {
  const bool resumed = batch_.has_value();
  absl::Status status = resumed ? absl::OkStatus() : TakeBatch();
  if (status.ok()) {
    status = EnsureConnected();
  }
  if (status.ok()) {
    status = WriteBatch(*batch_);
  }
  NoteOutcome(status);
  if (!status.ok()) {
    scripts_.Clear();
    ranges_.Clear();
    return Round::kFailed;
  }
  const bool earlier = resumed || batch_->late;
  memberships_flushed_.fetch_add(batch_->views.size(), std::memory_order_relaxed);
  written_positions_ = batch_->applied;
  batch_.reset();
  if (batch_age_.count() != 0) {
    entry_age_ms_.store(std::exchange(batch_age_, {}).count(), std::memory_order_relaxed);
  }
  written_until_ns_.store(Nanoseconds(batch_taken_), std::memory_order_relaxed);
  // The first timelines of a batch are written soon after it is taken, and first again in the next.
  waiting_since_ns_.store(Nanoseconds(batch_taken_), std::memory_order_relaxed);
  batch_before_taken_ = batch_taken_;
  RebuildSome();
  return earlier ? Round::kWrittenEarlierBatch : Round::kWritten;
}

absl::Status Flusher::TakeBatch() {
  const base::MonotonicTime now = d_.clock.Monotonic();
  d_.worker.ClearPressure();
  batch_ = d_.worker.TakeBatch(std::exchange(news_, {}), kWorkerAnswer);
  if (!batch_) {
    asked_first_ = asked_first_.value_or(now);
    return WorkerSilent();
  }
  // A late answer was made some time after it was first asked for; nothing later is certain.
  batch_taken_ = batch_->late ? asked_first_.value_or(batch_taken_) : now;
  asked_first_.reset();
  for (const HoleMark& hole : batch_->holes) {
    holes_.Add(hole, now);
  }
  for (const SpilledEntry& entry : batch_->spilled) {
    spilled_[entry.timeline.value].push_back(entry.id);
  }
  for (const uint32_t person : batch_->new_persons) {
    // First seen in the log after everything that Redis could hold about it was loaded: nothing is
    // there.
    StoredOf({person, TimelineRef::Kind::kHome}).known = true;
    StoredOf({person, TimelineRef::Kind::kPosts}).known = true;
  }
  if (batch_->HasChanges()) {
    KLATCH_FAILPOINT("batch-taken");
  }
  return absl::OkStatus();
}

absl::Status Flusher::WorkerSilent() {
  return base::Error(absl::StatusCode::kUnavailable, "the worker does not answer");
}

void Flusher::NoteOutcome(const absl::Status& status) {
  const base::MonotonicTime now = d_.clock.Monotonic();
  {
    std::lock_guard lock(mutex_);
    if (status.ok()) {
      failure_.clear();
      return;
    }
    if (failure_.empty()) {
      failing_since_ = now;
    }
    failure_ = base::MessageOf(status);
  }
  failures_.fetch_add(1, std::memory_order_relaxed);
  if (const auto suppressed = error_lines_.Admit(now)) {
    obs::Log(obs::Level::kError, "flusher", "can't write; trying again",
             {{"error", base::MessageOf(status)}, {"suppressed", *suppressed}});
  }
}

absl::Status Flusher::EnsureConnected() {
  if (d_.guard.changed()) {
    // What this flusher knows to be written may not be there any more; the node loads again.
    return base::Error(absl::StatusCode::kUnavailable, "Redis was restarted");
  }
  if (!redis_->connected()) {
    scripts_.ForgetFence();
    KLATCH_RETURN_IF_ERROR(redis_->Reconnect());
  }
  if (scripts_.fenced()) {
    return absl::OkStatus();
  }
  KLATCH_RETURN_IF_ERROR(d_.guard.Check(*redis_));
  FlushScripts::Findings findings;
  absl::Status status = scripts_.Fence(*redis_, partitions_, findings);
  NoteLost(findings);
  return status;
}

absl::Status Flusher::WriteBatch(const FlushBatch& batch) {
  KLATCH_RETURN_IF_ERROR(WriteFacts(batch));
  KLATCH_FAILPOINT("facts-written");
  KLATCH_RETURN_IF_ERROR(WriteTimelines(batch.timelines));
  KLATCH_FAILPOINT("timelines-written");
  KLATCH_RETURN_IF_ERROR(WriteCheckpoint(batch));
  KLATCH_FAILPOINT("checkpoint-written");
  return RemoveTombstones(batch);
}

absl::Status Flusher::RunScripts(FlushScripts::Findings& findings) {
  if (scripts_.empty() && ranges_.empty()) {
    return absl::OkStatus();
  }
  // Rings grow before something is written into them.
  absl::Status status = scripts_.Run(*redis_, findings);
  if (status.ok()) {
    status = ranges_.Run(*redis_, findings);
  } else {
    ranges_.Clear();
  }
  NoteLost(findings);
  return status;
}

void Flusher::NoteLost(const FlushScripts::Findings& findings) {
  for (const PartitionIndex partition : findings.lost) {
    d_.leases.NoteLost(partition);
  }
}

void Flusher::LogReplaced(const std::string& key, std::string_view consequence) {
  if (const auto suppressed = replaced_lines_.Admit(d_.clock.Monotonic())) {
    obs::Log(obs::Level::kError, "flusher", "a key holds another type; writing it anew",
             {{"key", key}, {"consequence", consequence}, {"suppressed", *suppressed}});
  }
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
